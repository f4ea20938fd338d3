"""Every step of the coding chain against tables, hardware values and its own inverse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_phy import FrameStatus, Header, LoRaParams, decode_symbols, encode_payload
from lora_phy.coding.chain import frame_blocks, num_payload_symbols
from lora_phy.coding.crc import payload_crc
from lora_phy.coding.gray import gray_decode, gray_encode, symbols_to_labels
from lora_phy.coding.hamming import codebook, hamming_decode
from lora_phy.coding.header import decode_header, encode_header
from lora_phy.coding.interleaving import deinterleave, interleave
from lora_phy.coding.whitening import whitening_sequence


def crc_by_long_division(payload: bytes) -> int:
    """The definition, bit by bit: remainder of M(x) modulo x^16 + x^12 + x^5 + 1."""
    remainder = int.from_bytes(payload, "big")
    for shift in range(max(8 * len(payload) - 17, -1), -1, -1):
        if remainder >> (shift + 16) & 1:
            remainder ^= 0x11021 << shift
    return remainder


@st.composite
def links(draw: st.DrawFn) -> tuple[LoRaParams, bytes]:
    """Any parameters with a payload that fits them."""
    payload = draw(st.binary(max_size=255))
    explicit = draw(st.booleans())
    params = LoRaParams(
        sf=draw(st.integers(5, 12)),
        cr=draw(st.integers(1, 4)),
        explicit_header=explicit,
        crc=draw(st.booleans()),
        ldro=draw(st.sampled_from([None, False, True])),
        payload_len=None if explicit else len(payload),
        variant=draw(st.sampled_from(["sx126x", "sx127x"])),
    )
    return params, payload


def test_whitening_sequence_has_period_255_and_the_published_start() -> None:
    sequence = whitening_sequence(510)
    assert bytes(sequence[:12]).hex() == "fffefcf8f0e1c2850b172f5e"
    assert np.array_equal(sequence[:255], sequence[255:])
    assert len(set(sequence[:255].tolist())) == 255


@pytest.mark.parametrize(
    ("payload", "on_air"),
    [
        ("deadbeef", "80ec"),
        ("1234", "3412"),
        ("010203040506", "0508"),
        ("07" * 5, "e76b"),
        ("010203040506070809", "ba2e"),
    ],
)
def test_crc_of_packets_sent_by_real_chips(payload: str, on_air: str) -> None:
    assert payload_crc(bytes.fromhex(payload)).to_bytes(2, "little").hex() == on_air


@given(st.binary(max_size=255))
def test_crc_is_the_plain_remainder(payload: bytes) -> None:
    assert payload_crc(payload) == crc_by_long_division(payload)


@pytest.mark.parametrize(
    ("header", "nibbles"),
    [
        ((4, 4, True), "04904"),
        ((6, 1, True), "0630f"),
        ((5, 1, True), "05300"),
        ((2, 4, True), "02907"),
        ((9, 4, True), "09904"),
    ],
)
def test_header_of_real_chips(header: tuple[int, int, bool], nibbles: str) -> None:
    expected = Header(payload_len=header[0], cr=header[1], crc=header[2])
    encoded = np.array([int(n, 16) for n in nibbles], dtype=np.uint8)
    assert np.array_equal(encode_header(expected), encoded)
    assert decode_header(encoded) == expected


def test_every_header_survives_and_every_one_or_two_bit_error_is_seen() -> None:
    flips = [(n, b) for n in range(3) for b in range(4)] + [(3, 0)] + [(4, b) for b in range(4)]
    for payload_len, cr, crc in itertools.product((0, 1, 37, 128, 255), range(1, 5), (False, True)):
        header = Header(payload_len=payload_len, cr=cr, crc=crc)
        nibbles = encode_header(header)
        assert decode_header(nibbles) == header
        for wrong in [(f,) for f in flips] + list(itertools.combinations(flips, 2)):
            damaged = nibbles.copy()
            for nibble, bit in wrong:
                damaged[nibble] ^= 1 << bit
            assert decode_header(damaged) != header, (header, wrong)
            assert decode_header(damaged) is None, (header, wrong)  # minimum distance 3


def test_codebooks_have_the_published_weights() -> None:
    weights = {cr: sorted(int(w).bit_count() for w in codebook(cr)) for cr in range(1, 5)}
    assert weights[1] == [0] + [2] * 10 + [4] * 5
    assert weights[2] == [0] + [2] * 3 + [3] * 8 + [4] * 3 + [6]
    assert weights[3] == [0] + [3] * 7 + [4] * 7 + [7]
    assert weights[4] == [0] + [4] * 14 + [8]
    assert sorted(codebook(4).tolist()) == [
        0, 23, 45, 58, 78, 89, 99, 116, 139, 156, 166, 177, 197, 210, 232, 255,
    ]  # fmt: skip


def test_hard_decoding_of_every_received_word() -> None:
    for cr in range(1, 5):
        words = codebook(cr).tolist()
        for received in range(1 << (4 + cr)):
            distance = [(word ^ received).bit_count() for word in words]
            near = [nibble for nibble, d in enumerate(distance) if d <= 1]
            data = sum((received >> (3 + cr - i) & 1) << i for i in range(4))
            expected = near[0] if cr >= 3 and len(near) == 1 else data
            assert hamming_decode(np.array([received], dtype=np.uint8), cr)[0] == expected


@pytest.mark.parametrize("num_codewords", range(3, 13))
@pytest.mark.parametrize("codeword_len", range(5, 9))
def test_interleaver_is_the_published_permutation_and_its_inverse(num_codewords: int, codeword_len: int) -> None:
    bits = np.arange(num_codewords * codeword_len).reshape(num_codewords, codeword_len)
    symbols = interleave(bits)
    for i, j in itertools.product(range(codeword_len), range(num_codewords)):
        assert symbols[i, j] == bits[(i - j - 1) % num_codewords, i]
    assert np.array_equal(deinterleave(symbols), bits)


def test_neighbouring_symbols_differ_in_one_bit() -> None:
    for sf in range(5, 13):
        symbols = np.arange(1 << sf)
        labels = symbols_to_labels(symbols, sf, reduced_rate=False)
        assert np.array_equal(gray_decode(gray_encode(symbols)), symbols)
        for step in (1, -1):
            changed = labels ^ np.roll(labels, step)
            assert np.array_equal([int(c).bit_count() for c in changed], np.ones(1 << sf))


def test_reduced_rate_symbols_are_one_modulo_four_and_tolerate_a_drift() -> None:
    params = LoRaParams(sf=9, ldro=True, cr=2)
    payload = bytes(range(40))
    symbols = encode_payload(payload, params)
    assert np.all(symbols % 4 == 1)
    for drift in (-2, -1, 1):
        assert decode_symbols((symbols + drift) % 512, params).payload == payload
    assert decode_symbols((symbols + 2) % 512, params).payload != payload


def test_symbols_of_a_frame_off_the_air() -> None:
    """SF12, 4/8, LDRO: header 0,9,9,0,4, payload 01…09, CRC ba 2e, pads 3, 8, 13, as a chip sent them."""
    air = [2541, 1153, 673, 2397, 1189, 3509, 41, 3089, 3237, 3917, 2729, 2765, 1417, 2833, 1389, 801,
           3197, 345, 961, 745, 3101, 297, 1893, 469]  # fmt: skip
    params = LoRaParams(sf=12, cr=4)
    decoded = decode_symbols(air, params)
    assert decoded.payload == bytes(range(1, 10))
    assert decoded.status is FrameStatus.OK
    assert encode_payload(bytes(range(1, 10)), params)[:16].tolist() == air[:16]


@given(links())
def test_decoding_inverts_encoding(link: tuple[LoRaParams, bytes]) -> None:
    params, payload = link
    symbols = encode_payload(payload, params)
    decoded = decode_symbols(symbols, params)
    assert decoded.payload == payload
    assert decoded.status is FrameStatus.OK
    assert decoded.crc_ok is (True if params.crc else None)
    expected = Header(payload_len=len(payload), cr=params.cr, crc=params.crc)
    assert decoded.header == (expected if params.explicit_header else None)


@given(links(), st.sampled_from(["bins", "bits"]))
def test_soft_decoding_inverts_encoding(link: tuple[LoRaParams, bytes], kind: str) -> None:
    params, payload = link
    symbols = encode_payload(payload, params)
    if kind == "bins":
        soft = np.zeros((len(symbols), params.num_bins), dtype=np.float32)
        soft[np.arange(len(symbols)), symbols] = 1
    else:
        labels = gray_encode((symbols - 1) % params.num_bins)
        soft = (labels[:, np.newaxis] >> np.arange(params.sf - 1, -1, -1) & 1).astype(np.float32) - 0.5
    assert decode_symbols(soft, params).payload == payload


@given(links(), st.data())
def test_any_single_wrong_symbol_of_a_correcting_block_is_corrected(
    link: tuple[LoRaParams, bytes], data: st.DataObject
) -> None:
    params, payload = link
    symbols = encode_payload(payload, params)
    damaged = symbols.copy()
    spilt_header = params.explicit_header and params.sf - 2 * params.header_reduced_rate < 5
    for block in frame_blocks(len(symbols), params):
        if block.cr >= 3 and not (spilt_header and block.start == 8 and params.cr < 3):
            victim = data.draw(st.integers(block.start, block.stop - 1))
            damaged[victim] = data.draw(st.integers(0, params.num_bins - 1))
    decoded = decode_symbols(damaged, params)
    assert (decoded.payload, decoded.status) == (payload, FrameStatus.OK)


@given(links(), st.integers(0, 3), st.integers(1, 2**12 - 1))
def test_header_errors_are_seen(link: tuple[LoRaParams, bytes], how_many: int, pattern: int) -> None:
    """Whatever is done to the header block: the header is read as it was sent, or the frame is not claimed whole."""
    params, payload = link
    if not params.explicit_header or not params.crc:
        return
    symbols = encode_payload(payload, params)
    damaged = symbols.copy()
    damaged[: 2 + how_many] = (damaged[: 2 + how_many] + pattern) % params.num_bins
    decoded = decode_symbols(damaged, params)
    if decoded.status is FrameStatus.OK:
        assert decoded.crc_ok is not False
        if decoded.header == Header(payload_len=len(payload), cr=params.cr, crc=True):
            assert decoded.payload == payload
    if decoded.header is None:
        assert decoded.status in (FrameStatus.BAD_HEADER, FrameStatus.TRUNCATED)


def test_number_of_symbols_is_the_data_sheets_formula() -> None:
    for sf, cr, explicit, crc, ldro in itertools.product(range(7, 13), range(1, 5), (0, 1), (0, 1), (0, 1)):
        params = LoRaParams(sf=sf, cr=cr, explicit_header=bool(explicit), crc=bool(crc), ldro=bool(ldro))
        for payload_len in range(256):
            bits = 8 * payload_len - 4 * sf + 28 + 16 * crc - 20 * (1 - explicit)
            expected = 8 + max(-(-bits // (4 * (sf - 2 * ldro))) * (cr + 4), 0)
            assert num_payload_symbols(payload_len, params) == expected


@given(links())
def test_a_frame_cut_anywhere_has_a_status(link: tuple[LoRaParams, bytes]) -> None:
    params, payload = link
    symbols = encode_payload(payload, params)
    for cut in {0, 1, 7, 8, 9, len(symbols) // 2, len(symbols) - 1}:
        if cut < len(symbols):
            decoded = decode_symbols(symbols[:cut], params)
            assert decoded.status is FrameStatus.TRUNCATED
            assert payload.startswith(decoded.payload)


@given(st.integers(5, 12), st.lists(st.integers(0, 4095), max_size=60), st.booleans())
def test_random_symbols_never_raise(sf: int, values: list[int], explicit: bool) -> None:
    params = LoRaParams(sf=sf, explicit_header=explicit, payload_len=None if explicit else 11)
    decoded = decode_symbols(np.array(values, dtype=np.int64), params)
    assert isinstance(decoded.status, FrameStatus)


def test_bad_arguments_are_named() -> None:
    params = LoRaParams(sf=7)
    with pytest.raises(ValueError, match=r"'payload' must have at most 255 bytes \(got 256\)"):
        encode_payload(bytes(256), params)
    with pytest.raises(TypeError, match="'payload' must be bytes"):
        encode_payload("text", params)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'payload_len'"):
        decode_symbols([1, 2, 3], LoRaParams(sf=7, explicit_header=False))
    with pytest.raises(ValueError, match=r"5 bytes of 'payload_len' with an implicit header \(got 4\)"):
        encode_payload(b"four", LoRaParams(sf=7, explicit_header=False, payload_len=5))
    encode_payload(b"four", LoRaParams(sf=7, payload_len=5))  # ignored where the header says it
    with pytest.raises(ValueError, match="shape"):
        decode_symbols(np.zeros((4, 5), dtype=np.float32), params)
    with pytest.raises(TypeError, match="float"):
        decode_symbols(np.zeros(4), params)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sf", 4), ("sf", 13), ("sf", 7.5), ("bandwidth_hz", -125e3), ("bandwidth_hz", 0), ("bandwidth_hz", float("nan")),
     ("cr", 0), ("cr", 5), ("preamble_len", 0), ("preamble_len", 65536), ("sync_word", 256), ("oversampling", 0),
     ("payload_len", 256), ("payload_len", -1), ("ldro", 2), ("crc", None), ("variant", "sx128x")],
)  # fmt: skip
def test_bad_parameters_are_named_with_their_value(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"'{field}' must be") as error:
        LoRaParams(**{"sf": 7, field: value})  # type: ignore[arg-type]
    assert repr(value) in str(error.value)


def test_numpy_scalars_are_parameters_too_and_leave_as_plain_numbers() -> None:
    numpys = LoRaParams(
        sf=np.int8(12), cr=np.uint8(4), oversampling=np.uint8(4), preamble_len=np.uint8(200), sync_word=np.uint8(0xFF),
        payload_len=np.uint8(200), bandwidth_hz=np.float32(250e3), crc=np.True_, ldro=np.False_,
    )  # fmt: skip
    plain = LoRaParams(
        sf=12, cr=4, oversampling=4, preamble_len=200, sync_word=0xFF, payload_len=200, bandwidth_hz=250_000, ldro=False
    )
    assert repr(numpys) == repr(plain)
    assert numpys.samples_per_symbol == 16384
    assert LoRaParams(sf=7, bandwidth_hz=np.int64(125_000)) == LoRaParams(sf=7)
    with pytest.raises(ValueError, match="'bandwidth_hz' must be"):
        LoRaParams(sf=7, bandwidth_hz=10**400)
    with pytest.raises(ValueError, match="'sf' must be"):
        LoRaParams(sf=np.array([7, 8]))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_infinite_bit_metrics_are_certainties(dtype: type) -> None:
    params = LoRaParams(sf=7, cr=3)
    labels = symbols_to_labels(encode_payload(b"certain", params), 7, reduced_rate=False)
    bits = labels[:, np.newaxis] >> np.arange(6, -1, -1) & 1
    metrics = np.where(bits, np.inf, -np.inf).astype(dtype)
    metrics[3] = np.nan  # and a symbol nothing is known of
    with np.errstate(over="raise", invalid="raise"):
        assert decode_symbols(metrics, params).payload == b"certain"


def test_bins_and_bit_metrics_may_be_integers() -> None:
    params = LoRaParams(sf=7)
    symbols = encode_payload(b"counts", params)
    assert decode_symbols(np.eye(128, dtype=np.int16)[symbols], params).payload == b"counts"
    bits = symbols_to_labels(symbols, 7, reduced_rate=False)[:, np.newaxis] >> np.arange(6, -1, -1) & 1
    assert decode_symbols(2 * bits - 1, params).payload == b"counts"
