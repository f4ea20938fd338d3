"""Cells: the smallest unit of a study, one radio link with one way of learning, scored on one corpus.

A recipe's grid is expanded into cells; what cannot make a difference is dropped, so that nothing is computed or counted
twice: without a corrupted split the link is not crossed, and without training there is no training seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from llm_bridge.study.config import Recipe, as_plain
from llm_bridge.study.store import digest
from llm_bridge.transport.link import RadioSettings

RULES = "rules"
UNTRAINED = ("zero-shot", "zero-shot-nf4", RULES)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of the grid. The radio's fields are None where the link is not crossed (``corrupted_split="none"``)."""

    corpus: str
    method: str
    train_seed: int | None
    corrupted_split: str
    axis: str | None = None
    sf: int | None = None
    snr_db: float | None = None
    fading: str | None = None
    cr: int | None = None
    policy: str | None = None
    source_coding: str | None = None
    channel_seed: int | None = None

    @property
    def crosses_link_in_evaluation(self) -> bool:
        """Whether the texts that are judged went over the radio."""
        return self.corrupted_split in ("eval", "both")

    @property
    def crosses_link_in_training(self) -> bool:
        """Whether the texts that the model learnt from went over the radio."""
        return self.corrupted_split in ("train", "both")

    @property
    def trained(self) -> bool:
        """Whether the method changes the model at all."""
        return self.method not in UNTRAINED


def expand(recipe: Recipe) -> list[Cell]:
    """Every cell of a recipe's grid, once, in the order corpus, split, link, method, seed.

    Examples
    --------
    >>> from llm_bridge.study.config import load_recipe
    >>> recipe = load_recipe("toy", ["radio.sf=[7, 12]", "radio.snr_db=-8.0", "training.methods=['zero-shot', 'full']"])
    >>> [(cell.method, cell.sf) for cell in expand(recipe) if cell.corrupted_split == "eval"]
    [('zero-shot', 7), ('full', 7), ('zero-shot', 12), ('full', 12)]
    """
    cells: dict[Cell, None] = {}
    training = recipe.training
    for corpus, split in itertools.product(recipe.corpus.test, recipe.radio.corrupted_split):
        for link in _links(recipe) if split != "none" else [{}]:
            for method, seed in itertools.product(training.methods, training.seeds):
                trained = method not in UNTRAINED
                effective = split if trained else {"train": "none", "both": "eval"}.get(split, split)
                cells[
                    Cell(
                        corpus=corpus,
                        method=method,
                        train_seed=seed if trained else None,
                        corrupted_split=effective,
                        **(link if effective != "none" else {}),
                    )
                ] = None
    return list(cells)


def cell_config(cell: Cell, recipe: Recipe, corpus_hashes: dict[str, str]) -> dict[str, Any]:
    """All that shapes a cell's numbers: its fields, the recipe's settings that matter, the corpora, our version."""
    config: dict[str, Any] = {
        **as_plain(cell),
        "recipe": recipe.name,
        "model": as_plain(recipe.model),
        "score": as_plain(recipe.score),
        "corpus_limit": recipe.corpus.limit,
        "corpus_hash": corpus_hashes[cell.corpus],
        "chirpbridge": simulator_version(),
    }
    if cell.sf is not None:
        config["radio"] = {
            name: as_plain(recipe.radio)[name]
            for name in ("bandwidth_hz", "redundancy", "fragment", "decoding", "airtime_reference_sf")
        }
        if cell.fading == "rician":
            config["radio"]["k_factor_db"] = recipe.radio.k_factor_db
    config["training_hash"] = corpus_hashes["mutants-validation"]  # the threshold of `detect` is fitted there
    if cell.trained:
        config["training"] = {**as_plain(recipe.training), "methods": None, "seeds": None}
        config["training_hash"] += "/" + corpus_hashes["mutants-train"]
    return config


def cell_name(cell: Cell, config: dict[str, Any]) -> str:
    """Folder of a cell: what a person looks for first, then the hash that makes it unique."""
    identity = {key: value for key, value in config.items() if key != "recipe"}
    words = [cell.corpus, cell.method, *([f"seed{cell.train_seed}"] if cell.trained else []), cell.corrupted_split]
    if cell.sf is not None:
        words += [f"sf{cell.sf:02d}", f"{cell.snr_db:g}dB", str(cell.policy), str(cell.axis)]
    return "-".join([*words, digest(identity, length=10)])


def radio_settings(cell: Cell, recipe: Recipe) -> RadioSettings:
    """The link of a cell that crosses one, each item sent once."""
    if cell.sf is None or cell.snr_db is None:
        raise ValueError(f"cell of split {cell.corrupted_split!r} crosses no link")
    fragment = recipe.radio.fragment
    return RadioSettings(
        sf=cell.sf,
        snr_db=cell.snr_db,
        cr=cell.cr or 1,
        fading=None if cell.fading == "none" else cell.fading,
        k_factor_db=recipe.radio.k_factor_db if cell.fading == "rician" else None,
        bandwidth_hz=recipe.radio.bandwidth_hz,
        policy=cell.policy or "drop",
        source_coding=cell.source_coding or "utf8",
        redundancy=recipe.radio.redundancy,
        fragment_len="max" if fragment == "max" else int(fragment),
        channel_seed=cell.channel_seed or 0,
        decoding="soft" if recipe.radio.decoding == "soft" else "hard",
    )


def simulator_version() -> str:
    """Version of this distribution; part of every result's identity."""
    try:
        return version("chirpbridge")
    except PackageNotFoundError:
        return "unknown"


def _links(recipe: Recipe) -> Iterator[dict[str, Any]]:
    radio = recipe.radio
    names = ("axis", "channel_seed", "fading", "cr", "policy", "source_coding", "snr_db", "sf")
    values = (
        radio.axis,
        radio.channel_seeds,
        radio.fading,
        radio.cr,
        radio.policy,
        radio.source_coding,
        radio.snr_db,
        radio.sf,
    )
    for combination in itertools.product(*values):
        yield dict(zip(names, combination, strict=True))
