"""Source codings: inverse, erasures, and the place of every received character."""

import numpy as np
import pytest
from byte_tokenizer import ByteTokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge.transport.tokenizer import adapt_tokenizer
from llm_bridge.transport.tokens import (
    REPLACEMENT_CHARACTER,
    SourceText,
    decode_units,
    encode_units,
    pack_units,
    unpack_units,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=REPLACEMENT_CHARACTER), max_size=60)
mixed = st.text(st.sampled_from("ab \n(é→𝄞"), max_size=60)


def places(num_bytes: int) -> SourceText:
    edges = np.arange(num_bytes + 1)
    return SourceText(np.zeros(num_bytes, dtype=np.int64), np.stack([edges[:-1], edges[1:]], axis=-1), 8)


@st.composite
def text_and_mask(draw, alphabet=mixed, unit_count=lambda text: len(text.encode())):
    text = draw(alphabet)
    runs = draw(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=12))
    mask = np.concatenate([np.full(length, value) for value, length in runs])
    return text, np.resize(mask, unit_count(text))


def runs_of(mask, value):
    edges = np.flatnonzero(np.diff(np.concatenate([[not value], mask, [not value]]))) if mask.size else []
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


class WordTokenizer:
    """Words and single characters as tokens; refuses ids that are not text."""

    def __init__(self):
        words = ["    ", "return", "def", "\n    ", "for ", " in ", "é", "(x)"]
        self.words = words + [chr(code) for code in range(128)]
        self.vocab_size = len(self.words) + 2
        self.special_ids = frozenset({len(self.words), len(self.words) + 1})

    def tokenize(self, text):
        ids = []
        while text:
            word = next(word for word in self.words if text.startswith(word))
            ids.append(self.words.index(word))
            text = text[len(word) :]
        return ids

    def detokenize(self, ids):
        return "".join(self.words[index] for index in ids)  # IndexError for a special id


@pytest.mark.parametrize("unit_bits", [8, 17])
@given(data=st.data())
def test_unpack_inverts_pack(unit_bits, data):
    units = data.draw(st.lists(st.integers(0, 2**unit_bits - 1), max_size=50))
    packed = pack_units(units, unit_bits)
    assert len(packed) == -(-len(units) * unit_bits // 8)
    assert unpack_units(packed, unit_bits)[: len(units)].tolist() == units


def test_packing_is_big_endian():
    assert pack_units([0x1FFFF, 0, 1], 17) == int("1" * 17 + "0" * 17 + "0" * 16 + "1" + "0" * 5, 2).to_bytes(7, "big")
    assert pack_units(list(b"abc"), 8) == b"abc"


@given(st.binary(max_size=80))
def test_utf8_without_holes_is_errors_replace(data):
    decoded = decode_units(np.frombuffer(data, np.uint8), np.ones(len(data), bool), places(len(data)), "utf8")
    assert decoded.text == data.decode("utf-8", errors="replace")
    assert decoded.erasures == ()
    # the characters' spans tile the bytes
    assert [0, *decoded.spans[:, 1].tolist()] == [*decoded.spans[:, 0].tolist(), len(data)]


@given(text_and_mask())
def test_each_utf8_hole_is_one_replacement_and_the_rest_is_in_place(case):
    text, mask = case
    raw = text.encode()
    source = encode_units(text, "utf8")
    garbage = np.where(mask, source.units, 0xFF)
    decoded = decode_units(garbage, mask, source, "utf8")
    assert decoded.text.count(REPLACEMENT_CHARACTER) == len(decoded.erasures)
    missing = np.zeros(len(raw), bool)
    for start, end in decoded.erasures:
        missing[start:end] = True
    assert not np.any(~mask & ~missing), "a missing byte lies in an erasure"
    assert np.count_nonzero(mask & missing) <= 6 * len(decoded.erasures), "at most half a character on either side"
    for character, (start, end) in zip(decoded.text, decoded.spans.tolist(), strict=True):
        if character == REPLACEMENT_CHARACTER:
            assert (start, end) in decoded.erasures
        else:
            assert raw[start:end].decode() == character


@given(text_and_mask(alphabet=st.text(st.characters(max_codepoint=127), max_size=60)))
def test_holes_of_ascii_are_the_missing_bytes(case):
    text, mask = case
    decoded = decode_units(*(encode_units(text, "utf8").units, mask, encode_units(text, "utf8")), "utf8")
    assert list(decoded.erasures) == runs_of(mask, False)


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), WordTokenizer()], ids=["bytes", "words"])
@given(text=st.text(st.sampled_from("ab \n()xédefrtun"), max_size=60))
def test_token_ids_round_trip_with_places(tokenizer, text):
    source = encode_units(text, "token_ids", tokenizer)
    decoded = decode_units(source.units, np.ones(source.units.size, bool), source, "token_ids", tokenizer)
    assert decoded.text == text
    assert b"".join(text.encode()[a:b] for a, b in decoded.spans.tolist()) == text.encode()


@given(st.data())
def test_each_token_hole_is_one_replacement(data):
    tokenizer = WordTokenizer()
    count = lambda text: len(tokenizer.tokenize(text))  # noqa: E731
    text, mask = data.draw(text_and_mask(st.text(st.sampled_from("ab \n(x)def"), max_size=60), count))
    source = encode_units(text, "token_ids", tokenizer)
    decoded = decode_units(source.units, mask, source, "token_ids", tokenizer)
    pieces = [text.encode()[a:b].decode() for a, b in source.spans.tolist()]
    expected = "".join(
        "".join(pieces[start:end]) if here else REPLACEMENT_CHARACTER
        for start, end, here in sorted(
            [(a, b, True) for a, b in runs_of(mask, True)] + [(a, b, False) for a, b in runs_of(mask, False)]
        )
    )
    assert decoded.text == expected
    assert list(decoded.erasures) == [
        (int(source.spans[a, 0]), int(source.spans[b - 1, 1])) for a, b in runs_of(mask, False)
    ]


def test_a_newline_inside_a_token_is_placed_in_its_own_line():
    tokenizer = WordTokenizer()
    text = "def\n    return"
    source = encode_units(text, "token_ids", tokenizer)
    assert source.units.size == 3
    decoded = decode_units(source.units, np.ones(3, bool), source, "token_ids", tokenizer)
    assert decoded.spans[3].tolist() == [3, 4]  # the newline alone, not the indentation behind it


def test_ids_that_are_no_text_become_replacements_and_never_reach_the_tokenizer():
    tokenizer = WordTokenizer()
    source = encode_units("ab", "token_ids", tokenizer)
    received = [tokenizer.vocab_size - 1, 2**17 - 1]  # a special id; an id beyond the vocabulary
    decoded = decode_units(received, [True, True], source, "token_ids", tokenizer)
    assert decoded.text == 2 * REPLACEMENT_CHARACTER
    assert decoded.spans.tolist() == [[0, 1], [1, 2]]
    assert decoded.erasures == ()


def test_half_characters_beside_a_token_hole_belong_to_it():
    tokenizer = ByteTokenizer()
    source = encode_units("aé→b", "token_ids", tokenizer)  # 1 + 2 + 3 + 1 bytes, one token each
    mask = np.array([True, True, False, True, True, True, True])
    decoded = decode_units(source.units, mask, source, "token_ids", tokenizer)
    assert decoded.text == f"a{REPLACEMENT_CHARACTER}→b"


def byte_level_bpe():
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["def f(x):\n    return x + 1\n"] * 4, trainer)
    return tokenizer


def test_byte_level_bpe_of_the_tokenizers_library(tmp_path):
    path = tmp_path / "tokenizer.json"
    byte_level_bpe().save(str(path))
    tokenizer = adapt_tokenizer(pytest.importorskip("tokenizers").Tokenizer.from_file(str(path)))
    assert tokenizer.special_ids == {0}

    @settings(max_examples=50, deadline=None)
    @given(st.one_of(texts, st.just("def f(x):\n    return '→𝄞' + x\n")))
    def check(text):
        source = encode_units(text, "token_ids", tokenizer)
        decoded = decode_units(source.units, np.ones(source.units.size, bool), source, "token_ids", tokenizer)
        assert decoded.text == text
        assert [text.encode()[a:b].decode() for a, b in decoded.spans.tolist()] == list(text)

    check()


@pytest.mark.slow  # importing transformers takes seconds
def test_a_tokenizer_of_the_transformers_library():
    transformers = pytest.importorskip("transformers")
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=byte_level_bpe(), bos_token="<s>", pad_token="<pad>")
    tokenizer = adapt_tokenizer(fast)
    assert tokenizer.vocab_size == len(fast)
    assert tokenizer.special_ids == set(fast.all_special_ids)
    text = "def f(x) :\n    return '→𝄞' , x\n"  # spaces before punctuation: nothing is tidied
    source = encode_units(text, "token_ids", tokenizer)
    assert decode_units(source.units, np.ones(source.units.size, bool), source, "token_ids", tokenizer).text == text


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match=r"'source_coding' must be one of utf8, token_ids \(got 'zlib'\)"):
        encode_units("a", "zlib")
    with pytest.raises(ValueError, match="'tokenizer' must be given"):
        encode_units("a", "token_ids")
    with pytest.raises(ValueError, match="'tokenizer' must give the text back"):
        lossy = WordTokenizer()
        lossy.detokenize = lambda ids: "?" * len(ids)
        encode_units("ab", "token_ids", lossy)
    with pytest.raises(ValueError, match=r"at most 131072 ids \(got 151936\)"):
        adapt_tokenizer(ByteTokenizer(vocab_size=151_936))
    with pytest.raises(ValueError, match="'tokenizer' must offer"):
        adapt_tokenizer(object())
