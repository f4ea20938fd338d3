"""The frozen corpus: what was promised of it, and that the installed packages still give it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from llm_bridge.corpora import frozen_mutants, minibugs, near_duplicates, package_functions
from llm_bridge.corpora.programs import corpus_hash, normalise
from llm_bridge.corpora.stdlib_functions import SPLITS

FROZEN_PYTHON = "3.11.7"
INSTALLED = ".".join(map(str, sys.version_info[:3])) == FROZEN_PYTHON and all(
    package_functions.installed_version(row.package) == row.version
    for row in frozen_mutants.rows("test")
    if row.package != frozen_mutants.STDLIB
)
whole = pytest.mark.skipif(
    not INSTALLED, reason=f"needs Python {FROZEN_PYTHON} and the extra 'corpora', which the corpus was frozen with"
)


@whole
@pytest.mark.parametrize("split", SPLITS)
def test_the_installed_packages_give_the_frozen_texts(split):
    pairs = frozen_mutants.load(split)
    assert len(pairs) == len(frozen_mutants.rows(split))
    assert corpus_hash(pairs) == frozen_mutants.frozen_hash(split)


def test_the_hash_of_the_test_split_is_the_one_committed_before_training():
    assert frozen_mutants.frozen_hash("test")[:16] == "c95481310d257b5f"
    assert frozen_mutants.frozen_hash("validation")[:16] == "8340c0fdd21e3153"
    assert frozen_mutants.frozen_hash("train")[:16] == "f9ba0dbd9a2d131c"


@whole
def test_what_was_promised_of_the_test_split():
    pairs = frozen_mutants.load("test")
    assert len(pairs) >= 300
    assert len({pair.group for pair in pairs}) >= 25
    assert max(len(pair.buggy) for pair in pairs) <= 600
    assert sum(len(pair.buggy) > 250 for pair in pairs) >= len(pairs) / 2
    # what naming a line at random scores
    chance = [len(pair.gold_lines) / len(pair.buggy.splitlines()) for pair in pairs]
    assert sum(chance) / len(chance) <= 0.14
    # "the longer version is correct" is right in half of the pairs that it decides
    longer = [len(pair.correct) > len(pair.buggy) for pair in pairs if len(pair.correct) != len(pair.buggy)]
    assert abs(sum(longer) / len(longer) - 0.5) <= 1 / len(longer)


@whole
def test_half_of_each_split_comes_from_algorithmic_packages():
    for split in SPLITS:
        rows = frozen_mutants.rows(split)
        share = sum(row.package != frozen_mutants.STDLIB for row in rows) / len(rows)
        assert 0.48 <= share <= 0.52, split


@whole
def test_splits_share_no_module_and_no_program_of_the_test_corpora():
    groups = {split: {pair.group for pair in frozen_mutants.load(split)} for split in SPLITS}
    assert not (groups["test"] & groups["train"] or groups["test"] & groups["validation"])
    assert not groups["validation"] & groups["train"]
    names = {pair.name for pair in minibugs.load()}
    for split in SPLITS:
        assert not names & {
            pair.name.split("@")[0].split("#")[0].rsplit(".", 1)[-1] for pair in frozen_mutants.load(split)
        }


@whole
@pytest.mark.slow
def test_no_near_duplicates_between_splits_nor_of_minibugs():
    known = [text for pair in minibugs.load() for text in (pair.correct, pair.buggy)]
    texts, origin = list(known), ["minibugs"] * len(known)
    for split in SPLITS:
        for text in dict.fromkeys(pair.correct for pair in frozen_mutants.load(split)):
            texts.append(text)
            origin.append(split)
    assert [(i, j) for i, j in near_duplicates.near_duplicates(texts) if origin[i] != origin[j]] == []


@whole
def test_pairs_are_in_normal_form_and_differ_in_one_place():
    for pair in frozen_mutants.load("test"):
        assert normalise(pair.buggy) == pair.buggy
        assert pair.buggy_line in (*pair.gold_lines, *(line + 1 for line in pair.gold_lines))


def test_a_function_that_changed_is_left_out_with_a_warning(monkeypatch):
    rows = frozen_mutants.rows("validation")[:4]
    changed = [replace(rows[0], text_hash="0" * 16), *rows[1:]]
    assert len(frozen_mutants.realise(changed)) == len(frozen_mutants.realise(rows)) - 1
    monkeypatch.setattr(frozen_mutants, "rows", lambda split: changed)
    frozen_mutants._pairs.cache_clear()
    with pytest.warns(UserWarning, match=r"mutants-validation: \d of 4 frozen mutants are left out"):
        frozen_mutants.load("validation", cache=False)
    frozen_mutants._pairs.cache_clear()


def test_unknown_split_and_package():
    with pytest.raises(ValueError, match="'split' must be one of"):
        frozen_mutants.load("exam")
    with pytest.raises(ValueError, match="'package' must be one of"):
        package_functions.functions("numpy")
