"""Texts over the link: every policy and coding, every way to be damaged, and the record of it."""

import subprocess
import sys
from dataclasses import replace

import pytest
from byte_tokenizer import ByteTokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge.transport import link as link_module
from llm_bridge.transport.controls import LinkStatistics
from llm_bridge.transport.link import (
    POLICIES,
    Item,
    RadioSettings,
    attempts_for_budget,
    measure_link,
    send_items,
    within_budget,
)
from llm_bridge.transport.packets import pack_packet, unpack_packet
from llm_bridge.transport.radio import Arrival
from llm_bridge.transport.tokens import REPLACEMENT_CHARACTER
from lora_phy import LoRaParams, airtime_s

CLEAN = float("inf")
TEXT = "".join(f"line {number} of a text\n" for number in range(12))  # 12 lines, 206 bytes: 5 fragments


def item(text=TEXT, program="p", version="buggy"):
    return Item(corpus="c", program=program, version=version, text=text)


def radio(**changes):
    return RadioSettings(**{"sf": 7, "snr_db": CLEAN, **changes})


def arriving(monkeypatch, change):
    """Put a link in the radio's place that hands each packet to `change(packet) -> Arrival`."""
    monkeypatch.setattr(link_module, "carry", lambda packets, *_, **__: [change(packet) for packet in packets])


def good(packet):
    return Arrival(payload=packet.payload, crc_ok=True)


LOST = Arrival(payload=None, crc_ok=False)


def send_one(sent, settings_, **options):
    (received,) = send_items([sent], settings_, **options)
    return received


def expected_lines(received):
    """Line spans found another way: walk the received text, each U+FFFD standing for the next erasure."""
    spans, place, start, erasures = [], 0, 0, list(received.erasures)
    for line in received.text.splitlines(keepends=True):
        for character in line:
            place = erasures.pop(0)[1] if character == REPLACEMENT_CHARACTER else place + len(character.encode())
        spans.append((start, place))
        start = place
    return tuple(spans)


# --- perfect channel


@pytest.mark.parametrize("coding", ["utf8", "token_ids"])
@pytest.mark.parametrize("policy", sorted(POLICIES))
@settings(max_examples=15)
@given(text=st.text(st.sampled_from("ab (\n:é→𝄞"), max_size=200), fragment_len=st.integers(3, 60))
def test_a_perfect_channel_gives_the_text_back(policy, coding, text, fragment_len):
    sent = item(text)
    try:
        received = send_one(
            sent,
            radio(policy=policy, source_coding=coding, fragment_len=fragment_len),
            tokenizer=ByteTokenizer(),
        )
    except ValueError as error:  # 800 bytes in fragments of three
        assert "must fit 128" in str(error)
        return
    assert received.text == text
    assert received.intact and received.delivered and received.erasures == ()
    assert received.line_spans == expected_lines(received)
    assert received.damage.byte_errors == received.damage.symbol_errors == received.damage.fragments_lost == 0


def test_the_record_of_an_intact_item():
    params = LoRaParams(sf=7)
    damage = send_one(item(), radio()).damage
    assert (damage.bytes_sent, damage.fragments_sent) == (206, 5) == (len(TEXT), -(-len(TEXT) // 48))
    assert damage.airtime_s == pytest.approx(4 * airtime_s(52, params) + airtime_s(206 - 192 + 4, params))
    parity = send_one(item(), radio(policy="erasure", redundancy=0.5)).damage
    assert (parity.bytes_sent, parity.fragments_sent) == (206, 8)
    assert parity.airtime_s == pytest.approx(damage.airtime_s + 3 * airtime_s(52, params))
    tokens = send_one(item(), radio(source_coding="token_ids"), tokenizer=ByteTokenizer()).damage
    assert (tokens.bytes_sent, tokens.fragments_sent) == (9 * 47 + 17, 10)


# --- dead channel


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_dead_link_delivers_nothing_and_raises_nothing(policy):
    items = [item(program=f"p{number}") for number in range(4)] + [item("", "empty")]
    received = send_items(items, radio(snr_db=-40.0, policy=policy, source_coding="utf8"))
    # under "deliver", noise would have to pass for a frame header, a packet's CRC-8 and this transmission's numbers
    for one in received:
        assert not one.delivered and not one.intact
        assert one.text == "" and one.line_spans == ()
        assert one.erasures == (((0, 206),) if one.item.text else ())
        assert one.damage.fragments_lost == one.damage.fragments_sent > 0
        assert one.damage.byte_errors == 0


# --- erasures


@given(lost=st.sets(st.integers(0, 4)), coding=st.sampled_from(["utf8", "token_ids"]))
def test_lost_packets_are_holes_of_known_place(lost, coding):
    with pytest.MonkeyPatch.context() as monkeypatch:
        arriving(monkeypatch, lambda packet: LOST if packet.fragment in lost else good(packet))
        received = send_one(item(), radio(source_coding=coding), tokenizer=ByteTokenizer())
    size, count = (48, 5) if coding == "utf8" else (22, 10)
    spans = [(n * size, min(n * size + size, 206)) for n in range(count) if n in lost]
    merged = []
    for start, end in spans:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    assert list(received.erasures) == merged
    assert received.damage.fragments_lost == len(lost)
    if len(lost) < count:
        text, place = "", 0
        for start, end in merged:
            text, place = text + TEXT[place:start] + REPLACEMENT_CHARACTER, end
        assert received.text == text + TEXT[place:]
        assert received.line_spans == expected_lines(received)
        assert received.intact == (not lost)
    else:
        assert received.text == "" and not received.delivered


def test_a_received_line_over_a_hole_stands_for_all_it_swallowed(monkeypatch):
    arriving(monkeypatch, lambda packet: LOST if packet.fragment == 1 else good(packet))
    received = send_one(item(), radio())
    line = next(n for n, text in enumerate(received.text.splitlines()) if REPLACEMENT_CHARACTER in text)
    start, end = received.line_spans[line]
    assert start <= 48 and end >= 96
    assert TEXT.encode()[start - 1 : start] == b"\n" and TEXT.encode()[end - 1 : end] == b"\n"


# --- corrupted packets


def garble(packet, places, flip=1):
    payload = bytearray(packet.payload)
    for place in places:
        payload[place] ^= flip
    return Arrival(payload=bytes(payload), crc_ok=False, symbol_errors=2)


def test_errors_are_dropped_or_delivered(monkeypatch):
    arriving(monkeypatch, lambda packet: garble(packet, [10, 11]) if packet.fragment == 2 else good(packet))
    dropped, delivered = (send_one(item(), radio(policy=policy)) for policy in ("drop", "deliver"))
    assert dropped.erasures == ((96, 144),) and dropped.damage.byte_errors == 0 and dropped.damage.fragments_lost == 1
    assert delivered.erasures == () and delivered.damage.byte_errors == 2 and delivered.damage.fragments_lost == 0
    assert dropped.damage.symbol_errors == delivered.damage.symbol_errors == 2
    wrong = [n for n, (a, b) in enumerate(zip(delivered.text, TEXT, strict=True)) if a != b]
    assert wrong == [102, 103]
    assert not delivered.intact and delivered.delivered


@pytest.mark.parametrize("policy", ["drop", "deliver", "erasure"])
def test_a_packet_whose_header_fails_is_lost_under_every_policy(monkeypatch, policy):
    arriving(monkeypatch, lambda packet: replace(garble(packet, [1]), crc_ok=True))
    received = send_one(item(), radio(policy=policy))
    assert not received.delivered and received.damage.fragments_lost == received.damage.fragments_sent


@pytest.mark.parametrize("change", [{"program": 3}, {"version": 1}, {"count": 6}, {"fragment": 100}])
def test_a_packet_of_another_transmission_is_lost(monkeypatch, change):
    def foreign(packet):
        header, data = unpack_packet(packet.payload)
        return Arrival(payload=pack_packet(replace(header, **change), data), crc_ok=True)

    arriving(monkeypatch, lambda packet: foreign(packet) if packet.fragment == 0 else good(packet))
    received = send_one(item(), radio())
    assert received.erasures == ((0, 48),) and received.damage.fragments_lost == 1


def test_truncated_and_overlong_packets(monkeypatch):
    cut = {0: b"", 1: b"!" * 20, 3: b"?" * 300}

    def change(packet):
        payload = packet.payload
        if packet.fragment in (0, 1):
            payload = payload[: len(payload) - 20]
        elif packet.fragment == 3:
            payload += cut[3]
        elif packet.fragment == 4:
            payload = payload[:3]
        return Arrival(payload=payload, crc_ok=False)

    arriving(monkeypatch, change)
    received = send_one(item(), radio(policy="deliver"))
    assert received.erasures == ((28, 48), (76, 96), (192, 206))
    assert (
        received.text
        == TEXT[:28]
        + REPLACEMENT_CHARACTER
        + TEXT[48:76]
        + REPLACEMENT_CHARACTER
        + TEXT[96:192]
        + REPLACEMENT_CHARACTER
    )
    assert received.damage.byte_errors == 0 and received.damage.fragments_lost == 1


def test_invalid_utf8_is_replaced_and_stays_in_its_line(monkeypatch):
    arriving(monkeypatch, lambda packet: garble(packet, [4 + 20], flip=0xFF) if packet.fragment == 0 else good(packet))
    received = send_one(item(), radio(policy="deliver"))
    assert received.text[20] == REPLACEMENT_CHARACTER and received.erasures == ()
    assert received.damage.byte_errors == 1
    assert len(received.line_spans) == len(received.text.splitlines())
    assert received.line_spans[-1][1] == 206


# --- repair


@given(lost=st.sets(st.integers(0, 14)))
def test_parity_repairs_what_it_can_and_never_lies(lost):
    with pytest.MonkeyPatch.context() as monkeypatch:
        arriving(monkeypatch, lambda packet: LOST if packet.fragment in lost else good(packet))
        plain = send_one(item(), radio(policy="drop"))
        repaired = send_one(item(), radio(policy="erasure", redundancy=2.0))
    assert repaired.damage.fragments_sent == 15 and repaired.damage.fragments_lost == len(lost)
    assert repaired.damage.byte_errors == 0
    assert sum(b - a for a, b in repaired.erasures) <= sum(b - a for a, b in plain.erasures)
    if not lost & {0, 1, 2, 3, 4} or repaired.erasures == ():
        assert repaired.intact
    for (start, end), line in zip(repaired.line_spans, repaired.text.splitlines(keepends=True), strict=True):
        if REPLACEMENT_CHARACTER not in line:
            assert TEXT[start:end] == line


def test_parity_repairs_the_short_last_fragment(monkeypatch):
    arriving(monkeypatch, lambda packet: LOST if packet.fragment == 4 else good(packet))
    assert send_one(item(), radio(policy="erasure", redundancy=3.0)).intact


# --- repetition and budgets


def test_every_attempt_is_sent_and_one_good_one_is_enough(monkeypatch):
    def change(packet):
        return good(packet) if packet.attempt == 2 or packet.fragment > 0 else garble(packet, [10])

    arriving(monkeypatch, change)
    received = send_one(item(), radio(policy="deliver", max_attempts=3))
    assert received.intact
    assert received.damage.fragments_sent == 15
    assert received.damage.airtime_s == pytest.approx(3 * send_one(item(), radio()).damage.airtime_s)
    assert send_one(item(), radio(max_attempts=2)).erasures == ((0, 48),)


def test_attempts_for_budget_and_what_is_sent_within_it():
    items = [item(program=f"p{number}") for number in range(4)]
    once = send_one(items[0], radio()).damage.airtime_s
    assert attempts_for_budget(items, radio(), 4 * once) == 1
    assert attempts_for_budget(items, radio(), 3.99 * once) == 0
    assert attempts_for_budget(items, radio(), 12.5 * once) == 3
    assert attempts_for_budget([], radio(), 1.0) == 1
    with pytest.raises(ValueError, match=r"'airtime_budget_s' must be spent in at most 1000 rounds .* 1001 rounds"):
        within_budget(items, radio(), 4000.5 * once)

    full = send_items(items, within_budget(items, radio(), 12.5 * once))
    assert [one.damage.fragments_sent for one in full] == [15] * 4
    short = send_items(items, within_budget(items, radio(), 2.5 * once))
    assert [one.delivered for one in short] == [True, True, False, False]
    assert [one.damage.fragments_sent for one in short] == [5, 5, 0, 0]
    assert short[3].erasures == ((0, 206),) and short[3].text == "" and short[3].damage.airtime_s == 0
    # more rounds than the budget holds: all once, then again from the start
    rounds = send_items(items, within_budget(items, radio(), 6 * once))
    assert rounds == send_items(items, radio(max_attempts=9, airtime_budget_s=6 * once))
    assert [one.damage.fragments_sent for one in rounds] == [10, 10, 5, 5]
    assert sum(one.damage.airtime_s for one in rounds) <= 6 * once * (1 + 1e-9)
    nothing = send_items(items, radio(airtime_budget_s=0.0))
    assert not any(one.delivered for one in nothing)


def test_equal_airtime_lets_sf7_repeat_where_sf12_cannot_send_all():
    items = [item(program=f"p{number}") for number in range(3)]
    budget = 20.0
    assert attempts_for_budget(items, radio(sf=12), budget) == 0
    assert attempts_for_budget(items, radio(sf=7), budget) >= 10


def test_the_longest_fragment_depends_on_sf_only_when_asked():
    text = item("x" * 480)
    sent = {sf: send_one(text, radio(sf=sf, fragment_len="max")).damage.fragments_sent for sf in (7, 9, 12)}
    assert sent == {7: 3, 9: 4, 12: 8}
    assert {send_one(text, radio(sf=sf)).damage.fragments_sent for sf in (7, 9, 12)} == {10}


# --- common random numbers


def test_policies_meet_the_same_noise():
    items = [item(program=f"p{number}") for number in range(12)]
    noisy = radio(snr_db=-9.3)
    drop, deliver = (send_items(items, replace(noisy, policy=policy)) for policy in ("drop", "deliver"))
    symbols = [one.damage.symbol_errors for one in drop]
    assert symbols == [one.damage.symbol_errors for one in deliver] and max(symbols) > 0
    repaired = send_items(items, replace(noisy, policy="erasure", redundancy=1.0))
    for plain, better in zip(drop, repaired, strict=True):
        assert better.damage.symbol_errors >= plain.damage.symbol_errors
        assert sum(b - a for a, b in better.erasures) <= sum(b - a for a, b in plain.erasures)


def test_items_do_not_depend_on_their_company_nor_on_processes():
    items = [item(program=f"p{number}") for number in range(8)]
    noisy = radio(snr_db=-9.3, policy="deliver")
    together = send_items(items, noisy)
    assert send_items(items[::-1], noisy)[::-1] == together
    assert [send_one(one, noisy) for one in items] == together
    assert send_items(items, noisy, workers=2) == together
    assert send_items(items, replace(noisy, channel_seed=1)) != together
    versions = [item(), item(version="correct")]
    same, apart = send_items(versions, noisy), send_items(versions, replace(noisy, pair_noise="independent"))
    assert same[0].damage == same[1].damage and same[0].damage.symbol_errors > 0
    assert apart[0].damage != apart[1].damage


# --- controls


def test_a_control_measures_the_link_it_stands_for():
    items = [item(program=f"p{number}") for number in range(12)]
    noisy = radio(snr_db=-9.5)
    statistics = measure_link(items, noisy)
    assert 0 < statistics.packet_loss_rate < statistics.frame_loss_rate < 1
    assert 0 < statistics.byte_error_rate <= statistics.burst_density
    for policy in ("random-bytes", "bursts", "drops"):
        measured = send_items(items, replace(noisy, policy=policy))
        given_rates = send_items(items, replace(noisy, policy=policy, control=statistics))
        assert measured == given_rates
        assert any(not one.intact for one in measured)
        assert sum(one.damage.symbol_errors for one in measured) == 0


@pytest.mark.parametrize("policy", ["random-bytes", "bursts", "drops"])
def test_no_spreading_factor_enters_a_control(policy):
    items = [item(program=f"p{number}") for number in range(4)]
    control = LinkStatistics(
        packet_loss_rate=0.1, frame_loss_rate=0.3, byte_error_rate=0.05, burst_len=4.0, burst_density=0.8
    )
    texts = [
        [one.text for one in send_items(items, radio(sf=sf, snr_db=snr_db, policy=policy, control=control))]
        for sf, snr_db in ((7, -9.0), (12, -40.0))
    ]
    assert texts[0] == texts[1] and texts[0] != [one.text for one in items]


# --- bad parameters, light imports


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sf": 13}, r"'sf' must be in \[5, 12\] \(got 13\)"),
        ({"cr": 5}, "'cr' must be in"),
        ({"snr_db": float("nan")}, "'snr_db'"),
        ({"fading": "fog"}, "'fading'"),
        ({"fading": "rician"}, "'k_factor_db' is needed"),
        ({"bandwidth_hz": -1.0}, "'bandwidth_hz' must be positive"),
        ({"policy": "hope"}, "'policy' must be one of drop, deliver, erasure, random-bytes, bursts, drops"),
        ({"source_coding": "zlib"}, "'source_coding' must be one of utf8, token_ids"),
        ({"redundancy": -0.1}, "'redundancy' must be at least 0"),
        ({"fragment_len": 2}, r"'fragment_len' must be in \[3, 251\] or 'max' \(got 2\)"),
        ({"fragment_len": 252}, "'fragment_len' must be in"),
        ({"fragment_len": "min"}, "'fragment_len' must be in"),
        ({"max_attempts": 0}, "'max_attempts' must be at least 1"),
        ({"airtime_budget_s": -1.0}, "'airtime_budget_s' must be at least 0"),
        ({"sync": "luck"}, "'sync' must be 'perfect' or 'receiver'"),
        ({"decoding": "guess"}, "'decoding' must be 'hard' or 'soft'"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        radio(**change)


def test_bad_items_are_named():
    with pytest.raises(ValueError, match="'version' must be one of buggy, correct"):
        item(version="fixed")
    with pytest.raises(ValueError, match=r"'text' must fit 128 packets, parity included \(got 100 \+ 50 for 'long'\)"):
        send_items([item("x" * 4800, "long")], radio(policy="erasure"))
    with pytest.raises(ValueError, match="'tokenizer' must be given"):
        send_items([item()], radio(source_coding="token_ids"))


def test_nothing_heavy_is_imported():
    code = (
        "import sys, llm_bridge.transport.link as link;"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
