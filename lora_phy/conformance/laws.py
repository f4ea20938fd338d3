"""All laws of the kit, and how one is run against an adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lora_phy.conformance import coding_laws, frame_laws, modem_laws, receiver_laws
from lora_phy.conformance.adapter import Adapter
from lora_phy.conformance.strategies import channels, parameters, payloads, symbol_lists
from lora_phy.conformance.vectors import Vector, chip_vectors, peer_vectors
from lora_phy.params import LoRaParams

EXAMPLES = 25
_RECEIVED = {"crc": True, "inverted_iq": False, "ldro": None}


@dataclass(frozen=True, kw_only=True)
class Law:
    """One law: a function of an adapter and of inputs, which raises an AssertionError where it is broken.

    Parameters
    ----------
    check
        The function; its name and docstring state the law.
    needs
        The functions a modem must have for it.
    inputs
        Keyword arguments of the function: a strategy, or all that are tried.
    cost
        How many times as long an input takes as that of a cheap law: fewer are tried.
    """

    check: Callable[..., None]
    needs: tuple[str, ...]
    inputs: st.SearchStrategy[dict[str, Any]] | tuple[dict[str, Any], ...]
    cost: int = 1

    @property
    def name(self) -> str:
        """The function's name."""
        return self.check.__name__

    @property
    def statement(self) -> str:
        """The law in a sentence."""
        return " ".join((self.check.__doc__ or "").split("\n\n")[0].split())


def run_law(law: Law, adapter: Adapter, *, examples: int = EXAMPLES, shrink: bool = True) -> None:
    """Try a law on inputs; the error of the smallest one that breaks it (`shrink`), or of any, if one does.

    The inputs are the same in every run.
    """
    if isinstance(law.inputs, tuple):
        for case in law.inputs:
            law.check(adapter, **case)
        return

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=max(2, examples // law.cost),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
    )
    @given(law.inputs)
    def attempt(inputs: dict[str, Any]) -> None:
        law.check(adapter, **inputs)

    attempt()


def _fixed(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(strategies)


def _frames(**fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    return _fixed(params=parameters(**fixed), payload=payloads())


def _each(vectors: tuple[Vector, ...]) -> tuple[dict[str, Any], ...]:
    return tuple({"vector": vector} for vector in vectors)


def _receivable() -> st.SearchStrategy[Vector]:
    """Vectors with an explicit header and a CRC, as every receiver reads them; short ones at low spreading factors."""
    kept = [v for v in peer_vectors() if v.params.explicit_header and v.params.crc and 7 <= v.params.sf <= 10]
    return st.sampled_from([replace(v, params=replace(v.params, ldro=None)) for v in kept if not v.params.reduced_rate])


def _modem_inputs(**fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    def of(params: LoRaParams) -> st.SearchStrategy[dict[str, Any]]:
        return _fixed(params=st.just(params), symbols=symbol_lists(params.sf), **fixed)

    shapes = st.builds(
        LoRaParams, sf=st.integers(7, 12) | st.integers(5, 6), oversampling=st.sampled_from((1, 2, 4)),
        inverted_iq=st.just(False) | st.booleans(),
    )  # fmt: skip
    return shapes.flatmap(of)


def _receiver_inputs(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def of(vector: Vector) -> st.SearchStrategy[dict[str, Any]]:
        forms = st.builds(
            replace, st.just(vector.params), waveform=st.sampled_from(("chip", "textbook")),
            oversampling=st.sampled_from((1, 2)), inverted_iq=st.just(False),
        )  # fmt: skip
        return _fixed(params=forms, vector=st.just(vector), channel=channels(), **more)

    return _receivable().flatmap(of)


_POSITIONS = {"position": st.integers(0, 400), "error": st.integers(0, 4000)}
LAWS: tuple[Law, ...] = (
    Law(check=coding_laws.encodes_as_a_peer_does, needs=("encode_payload",), inputs=_each(peer_vectors())),
    Law(check=coding_laws.encodes_as_chips_do, needs=("encode_payload",), inputs=_each(chip_vectors())),
    Law(
        check=coding_laws.decodes_what_others_send,
        needs=("decode_symbols",),
        inputs=_each(peer_vectors() + chip_vectors()),
    ),
    Law(check=coding_laws.decoding_undoes_encoding, needs=("encode_payload", "decode_symbols"), inputs=_frames()),
    Law(check=coding_laws.frames_have_the_length_of_the_data_sheet, needs=("encode_payload",), inputs=_frames()),
    Law(
        check=coding_laws.reduced_rate_symbols_are_one_more_than_multiples_of_four,
        needs=("encode_payload",),
        inputs=_fixed(params=parameters(), payload=st.binary(max_size=40)),
    ),
    Law(
        check=coding_laws.one_wrong_symbol_is_corrected,
        needs=("encode_payload", "decode_symbols"),
        inputs=_fixed(
            params=st.one_of(parameters(cr=3, waveform="chip"), parameters(cr=4, waveform="chip")),
            payload=payloads(), **_POSITIONS,
        ),
    ),
    Law(
        check=coding_laws.damage_is_seen,
        needs=("encode_payload", "decode_symbols"),
        inputs=_fixed(
            params=parameters(crc=True, waveform="chip"), payload=st.binary(min_size=10, max_size=32),
            error=st.integers(1, 4000),
        ),
    ),
    Law(
        check=coding_laws.the_header_overrides_the_parameters,
        needs=("encode_payload", "decode_symbols"),
        inputs=_fixed(params=parameters(), payload=payloads(), cr=st.integers(1, 4)),
    ),
    Law(
        check=coding_laws.anything_decodes_to_a_status,
        needs=("decode_symbols",),
        inputs=_fixed(params=parameters(), symbols=st.lists(st.integers(0, 4095), max_size=60)),
    ),
    Law(check=modem_laws.chirps_are_their_definition, needs=("modulate",), inputs=_modem_inputs()),
    Law(check=modem_laws.demodulation_undoes_modulation, needs=("modulate", "demodulate"), inputs=_modem_inputs()),
    Law(
        check=modem_laws.definition_is_demodulated,
        needs=("demodulate",),
        inputs=_modem_inputs(
            offset=st.sampled_from((0.0, 0.25, -0.25, 0.4, -0.4)), gain_db=st.sampled_from((0.0, -80.0, 60.0))
        ),
    ),
    Law(
        check=modem_laws.errors_are_those_of_theory,
        needs=("demodulate",),
        inputs=_fixed(oversampling=st.sampled_from((1, 2))),
        cost=8,
    ),
    Law(
        check=frame_laws.frames_are_their_definition,
        needs=("encode_payload", "transmit"),
        inputs=_fixed(params=parameters(), payload=payloads(8)),
        cost=2,
    ),
    Law(
        check=frame_laws.frames_last_as_long_as_the_data_sheet_says,
        needs=("transmit",),
        inputs=_fixed(params=parameters(), payload=payloads(8)),
    ),
    Law(
        check=frame_laws.sync_words_are_signed,
        needs=("transmit",),
        inputs=_fixed(sf=st.integers(7, 12), word=st.integers(0, 255)),
    ),
    Law(
        check=frame_laws.inverted_frames_are_conjugates,
        needs=("transmit",),
        inputs=_fixed(params=parameters(), payload=payloads(8)),
    ),
    Law(check=receiver_laws.frames_are_received, needs=("receive",), inputs=_receiver_inputs(), cost=2),
    Law(
        check=receiver_laws.offsets_of_either_sign_are_bridged,
        needs=("receive",),
        inputs=_fixed(vector=_receivable(), cfo_bins=st.sampled_from((0.0, -0.25, 0.25, -3.3, 3.3, -12.0, 12.0))),
        cost=2,
    ),
    Law(check=receiver_laws.place_and_offset_are_right, needs=("receive",), inputs=_receiver_inputs(), cost=3),
    Law(
        check=receiver_laws.what_is_transmitted_is_received,
        needs=("transmit", "receive"),
        inputs=_fixed(params=parameters(sf=8, **_RECEIVED), payload=payloads(16), channel=channels()),
        cost=3,
    ),
    Law(
        check=receiver_laws.both_signs_of_a_sync_word_are_heard,
        needs=("receive",),
        inputs=_fixed(vector=_receivable(), channel=channels()),
        cost=5,
    ),
    Law(
        check=receiver_laws.noise_holds_no_frame,
        needs=("receive",),
        inputs=_fixed(sf=st.integers(7, 9), seed=st.integers(0, 1000)),
        cost=4,
    ),
    Law(
        check=receiver_laws.other_networks_are_not_received,
        needs=("receive",),
        inputs=_fixed(vector=_receivable(), channel=channels()),
        cost=4,
    ),
    Law(
        check=receiver_laws.no_signal_raises,
        needs=("receive",),
        inputs=_fixed(
            sf=st.integers(7, 8),
            kind=st.sampled_from(("noise", "zeros", "not a number", "overflow", "cut frame")),
            seed=st.integers(0, 1000),
        ),
        cost=2,
    ),
)  # fmt: skip
