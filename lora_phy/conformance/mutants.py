"""Broken modems: our own with one fault each, of the kinds that real implementations had. No law is empty: each fails
for at least one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np

from lora_phy.coding import chain
from lora_phy.coding.chain import Decoded, FrameStatus, decode_symbols, encode_payload
from lora_phy.coding.hamming import hamming_encode
from lora_phy.coding.interleaving import deinterleave, interleave
from lora_phy.conformance.adapter import Adapter, load_adapter
from lora_phy.conformance.definition import num_symbols
from lora_phy.frames.transceiver import transmit
from lora_phy.modem.demodulation import demodulate
from lora_phy.modem.modulation import modulate, modulate_frame
from lora_phy.params import LoRaParams
from lora_phy.receiver.stream import receive


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A modem with one fault, and the laws that must find it."""

    fault: str
    broken: tuple[str, ...]
    functions: dict[str, Callable[..., Any]]

    @property
    def adapter(self) -> Adapter:
        """Our own modem with the faulty functions in place of its own."""
        return replace(load_adapter("lora_phy"), name=self.fault, **self.functions)


def _patched(function: Callable[..., Any], **faults: Any) -> Callable[..., Any]:
    """`function` while names of the coding chain are replaced."""

    def faulty(*arguments: Any, **settings: Any) -> Any:
        with mock.patch.multiple(chain, **faults):
            return function(*arguments, **settings)

    return faulty


def _both(**faults: Any) -> dict[str, Callable[..., Any]]:
    """Encoder and decoder with the same fault: they agree with each other and with nobody else."""
    return {
        "encode_payload": _patched(encode_payload, **faults), "decode_symbols": _patched(decode_symbols, **faults)
    }  # fmt: skip


def _augmented_crc(payload: bytes) -> int:
    remainder = 0
    for byte in payload:
        remainder ^= byte << 8
        for _ in range(8):
            remainder = (remainder << 1 ^ 0x1021 if remainder & 0x8000 else remainder << 1) & 0xFFFF
    return remainder


_OTHER_WAY_ROUND = {
    "interleave": lambda bits: interleave(bits[::-1]),
    "deinterleave": lambda bits: deinterleave(bits)[::-1],
}


def _length_of_4_8(payload: bytes, params: LoRaParams) -> Any:
    surplus = num_symbols(len(payload), replace(params, cr=4)) - num_symbols(len(payload), params)
    return np.concatenate([encode_payload(payload, params), np.ones(surplus, np.int32)])


def _data_bits_only(codewords: Any, cr: int) -> Any:
    return _NIBBLE_BY_DATA_BITS[codewords >> cr & 15]


def _nibble_table() -> Any:
    table = np.zeros(16, np.uint8)
    table[hamming_encode(np.arange(16, dtype=np.uint8), 4) >> 4] = np.arange(16)
    return table


_NIBBLE_BY_DATA_BITS = _nibble_table()


def _never_a_crc_error(symbols: Any, params: LoRaParams) -> Decoded:
    decoded = decode_symbols(symbols, params)
    ok = decoded.status is FrameStatus.BAD_CRC
    return replace(decoded, status=FrameStatus.OK, crc_ok=True) if ok else decoded


def _trusts_the_parameters(symbols: Any, params: LoRaParams) -> Decoded:
    decoded = decode_symbols(symbols, params)
    agrees = decoded.header is None or decoded.header.cr == params.cr
    return decoded if agrees else Decoded(payload=b"", status=FrameStatus.BAD_HEADER, crc_ok=None, header=None)


def _insists_on_its_own_padding(symbols: Any, params: LoRaParams) -> Decoded:
    decoded = decode_symbols(symbols, params)
    if decoded.status is not FrameStatus.OK:
        return decoded
    sent = encode_payload(decoded.payload, params)
    same = np.array_equal(sent, np.asarray(symbols)[: len(sent)])
    return decoded if same else replace(decoded, status=FrameStatus.BAD_CRC, crc_ok=False)


def _reads_beyond_the_end(symbols: Any, params: LoRaParams) -> Decoded:
    np.asarray(symbols)[7]
    return decode_symbols(symbols, params)


def _no_fold(symbols: Any, params: LoRaParams) -> Any:
    t = np.arange(params.samples_per_symbol) / params.oversampling
    s = np.asarray(symbols)[:, np.newaxis]
    turns = t**2 / (2 * params.num_bins) + (s / params.num_bins - 0.5) * t
    iq = np.exp(2j * np.pi * turns).reshape(-1).astype(np.complex64)
    return iq.conj() if params.inverted_iq else iq


def _truncates(iq: Any, params: LoRaParams) -> Any:
    n = np.arange(np.size(iq))
    sign = -1 if params.inverted_iq else 1
    cycles = sign * 0.45 / (params.num_bins * params.oversampling)
    return demodulate(np.asarray(iq) * np.exp(-2j * np.pi * cycles * n), params)


def _decimates(iq: Any, params: LoRaParams) -> Any:
    return demodulate(np.asarray(iq)[:: params.oversampling], replace(params, oversampling=1))


def _jumps_of_phase(payload: bytes, params: LoRaParams) -> Any:
    iq = transmit(payload, params).copy()
    iq[-8 * params.samples_per_symbol :] *= 1j
    return iq


def _unsigned_sync_word(payload: bytes, params: LoRaParams) -> Any:
    first, second = divmod(params.sync_word or 0, 16)
    word = (first << 3) % params.num_bins, (second << 3) % params.num_bins
    return modulate_frame(encode_payload(payload, params), params, sync_symbols=word)


def _signed_words_only(iq: Any, params: LoRaParams) -> Any:
    return [frame for frame in receive(iq, params) if frame.sync_symbols == frame.params.sync_symbols]


def _one_symbol_late(iq: Any, params: LoRaParams) -> Any:
    return [replace(f, start_sample=f.start_sample + params.samples_per_symbol) for f in receive(iq, params)]


def _offset_of_the_other_sign(iq: Any, params: LoRaParams) -> Any:
    return [replace(frame, cfo_hz=-frame.cfo_hz) for frame in receive(iq, params)]


def _hears_a_frame_in_noise(iq: Any, params: LoRaParams) -> Any:
    return receive(iq, params) or receive(transmit(b"", params), params)


def _refuses_what_is_not_finite(iq: Any, params: LoRaParams) -> Any:
    if not np.all(np.isfinite(iq)):
        raise FloatingPointError("not a number")
    return receive(iq, params)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        fault="symbols of eight bits",
        broken=("encodes_as_a_peer_does", "encodes_as_chips_do", "decoding_undoes_encoding"),
        functions={"encode_payload": lambda payload, params: encode_payload(payload, params) & 0xFF},
    ),
    Mutant(
        fault="interleaver the other way round",
        broken=("encodes_as_a_peer_does", "encodes_as_chips_do", "decodes_what_others_send"),
        functions=_both(**_OTHER_WAY_ROUND),
    ),
    Mutant(
        fault="CRC with the usual sixteen zeros",
        broken=("encodes_as_a_peer_does", "decodes_what_others_send"),
        functions=_both(payload_crc=_augmented_crc),
    ),
    Mutant(
        fault="length of 4/8 at every coding rate",
        broken=("frames_have_the_length_of_the_data_sheet",),
        functions={"encode_payload": _length_of_4_8},
    ),
    Mutant(
        fault="symbols that count from 0",
        broken=("reduced_rate_symbols_are_one_more_than_multiples_of_four",),
        functions={"encode_payload": lambda payload, params: (encode_payload(payload, params) - 1) % params.num_bins},
    ),
    Mutant(
        fault="no low-data-rate optimisation",
        broken=("reduced_rate_symbols_are_one_more_than_multiples_of_four", "encodes_as_a_peer_does"),
        functions={"encode_payload": lambda payload, params: encode_payload(payload, replace(params, ldro=False))},
    ),
    Mutant(
        fault="parity bits that nobody looks at",
        broken=("one_wrong_symbol_is_corrected",),
        functions={"decode_symbols": _patched(decode_symbols, hamming_decode=_data_bits_only)},
    ),
    Mutant(
        fault="a CRC that never fails", broken=("damage_is_seen",), functions={"decode_symbols": _never_a_crc_error}
    ),
    Mutant(
        fault="coding rate as told, not as announced",
        broken=("the_header_overrides_the_parameters",),
        functions={"decode_symbols": _trusts_the_parameters},
    ),
    Mutant(
        fault="padding checked",
        broken=("decodes_what_others_send",),
        functions={"decode_symbols": _insists_on_its_own_padding},
    ),
    Mutant(
        fault="reads beyond the end", broken=("anything_decodes_to_a_status",),
        functions={"decode_symbols": _reads_beyond_the_end},
    ),
    Mutant(
        fault="chirps that do not fold", broken=("chirps_are_their_definition",), functions={"modulate": _no_fold}
    ),
    Mutant(
        fault="modulator that ignores the direction",
        broken=("chirps_are_their_definition", "demodulation_undoes_modulation"),
        functions={"modulate": lambda symbols, params: modulate(symbols, replace(params, inverted_iq=False))},
    ),
    Mutant(
        fault="peak truncated, not rounded", broken=("definition_is_demodulated",), functions={"demodulate": _truncates}
    ),
    Mutant(
        fault="decimation without a filter",
        broken=("errors_are_those_of_theory",),
        functions={"demodulate": _decimates},
    ),
    Mutant(
        fault="the textbook's waveform always",
        broken=("frames_are_their_definition",),
        functions={"transmit": lambda payload, params: transmit(payload, replace(params, waveform="textbook"))},
    ),
    Mutant(
        fault="the chip's waveform always",
        broken=("frames_are_their_definition",),
        functions={"transmit": lambda payload, params: transmit(payload, replace(params, waveform="chip"))},
    ),
    Mutant(
        fault="a jump of phase", broken=("frames_are_their_definition",), functions={"transmit": _jumps_of_phase}
    ),
    Mutant(
        fault="last symbol forgotten",
        broken=("frames_last_as_long_as_the_data_sheet_says", "frames_are_their_definition"),
        functions={"transmit": lambda payload, params: transmit(payload, params)[: -params.samples_per_symbol]},
    ),
    Mutant(
        fault="sync word without a sign", broken=("sync_words_are_signed",), functions={"transmit": _unsigned_sync_word}
    ),
    Mutant(
        fault="transmitter that ignores the direction",
        broken=("inverted_frames_are_conjugates",),
        functions={"transmit": lambda payload, params: transmit(payload, replace(params, inverted_iq=False))},
    ),
    Mutant(
        fault="deaf",
        broken=("frames_are_received", "what_is_transmitted_is_received"),
        functions={"receive": lambda iq, params: []},
    ),
    Mutant(
        fault="lost above the nominal frequency",
        broken=("offsets_of_either_sign_are_bridged",),
        functions={"receive": lambda iq, params: [frame for frame in receive(iq, params) if frame.cfo_hz < 10.0]},
    ),
    Mutant(
        fault="every frame twice",
        broken=("frames_are_received",),
        functions={"receive": lambda iq, params: 2 * receive(iq, params)},
    ),
    Mutant(
        fault="one symbol late", broken=("place_and_offset_are_right",), functions={"receive": _one_symbol_late}
    ),
    Mutant(
        fault="offset of the other sign",
        broken=("place_and_offset_are_right",),
        functions={"receive": _offset_of_the_other_sign},
    ),
    Mutant(
        fault="signed sync words only",
        broken=("both_signs_of_a_sync_word_are_heard",),
        functions={"receive": _signed_words_only},
    ),
    Mutant(
        fault="a frame in noise", broken=("noise_holds_no_frame",), functions={"receive": _hears_a_frame_in_noise}
    ),
    Mutant(
        fault="any sync word",
        broken=("other_networks_are_not_received",),
        functions={"receive": lambda iq, params: receive(iq, replace(params, sync_word=None))},
    ),
    Mutant(
        fault="refuses what is not finite",
        broken=("no_signal_raises",),
        functions={"receive": _refuses_what_is_not_finite},
    ),
)  # fmt: skip
