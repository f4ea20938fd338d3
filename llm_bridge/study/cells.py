"""Cells: the smallest unit of a study, one radio link with one way of learning, scored on one corpus.

A recipe's grid is expanded into cells; what cannot make a difference is dropped, so that nothing is computed or counted
twice: without a corrupted split the link is not crossed, and without training there is no training seed.

A method that ends in "-shuffled" is the control of its stem: trained alike, on labels that mean nothing (`shuffling`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from llm_bridge.study.axes import equal_energy_snr_db, equal_loss_snr_db, snr_at_distance_db
from llm_bridge.study.config import Recipe, as_plain
from llm_bridge.study.store import digest
from llm_bridge.transport.link import RadioSettings

RULES = "rules"
UNTRAINED = ("zero-shot", "zero-shot-nf4", RULES)
SHUFFLED = "-shuffled"
RADIO_SETTINGS = ("bandwidth_hz", "redundancy", "fragment", "decoding", "airtime_reference_sf", "region", "duty_cycle")
"""Of the recipe's section: what shapes or labels a cell's link and is not a field of the cell."""
LATER_FIELDS = ("frame_loss",)
"""Fields of a cell that are younger than published results: left out of its configuration where they are None."""
DISTANCE_SETTINGS = ("tx_power_dbm", "path_loss_exponent", "shadowing_db", "noise_figure_db")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of the grid. The radio's fields are None where the link is not crossed (``corrupted_split="none"``).

    `snr_db` is known on every axis; `distance_km`, `ebn0_db` or `frame_loss` is what it was computed from, if from any.
    """

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
    distance_km: float | None = None
    ebn0_db: float | None = None
    frame_loss: float | None = None

    @property
    def link(self) -> Cell:
        """The same cell without corpus, method and training: what two cells of one link share."""
        return replace(self, corpus="", method="", train_seed=None, corrupted_split="")

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
                own_seed = seed if trained else None
                if link and link["channel_seed"] not in recipe.channel_seeds_of(own_seed):
                    continue
                effective = split if trained else {"train": "none", "both": "eval"}.get(split, split)
                cells[
                    Cell(
                        corpus=corpus,
                        method=method,
                        train_seed=own_seed,
                        corrupted_split=effective,
                        **(link if effective != "none" else {}),
                    )
                ] = None
    return list(cells)


def channel_links(recipe: Recipe) -> list[Cell]:
    """Every test corpus over every link, whatever the methods: the cells of the channel stage.

    Examples
    --------
    >>> from llm_bridge.study.config import load_recipe
    >>> recipe = load_recipe("toy", ["radio.policy=['drop', 'deliver']", "training.methods=[]"])
    >>> len(expand(recipe)), len(channel_links(recipe)) == 2 * 3 * 2  # spreading factors, SNRs, policies
    (0, True)
    """
    return [
        Cell(corpus=corpus, method="", train_seed=None, corrupted_split="eval", **link)
        for corpus in recipe.corpus.test
        for link in _links(recipe)
    ]


def base_method(method: str) -> str:
    """The method that a control of shuffled labels trains by; any other is its own.

    Examples
    --------
    >>> base_method("qlora-shuffled"), base_method("qlora-cka")
    ('qlora', 'qlora-cka')
    """
    return method.removesuffix(SHUFFLED)


def cell_config(
    cell: Cell, recipe: Recipe, corpus_hashes: dict[str, str], model_sha256: str | None = None
) -> dict[str, Any]:
    """All that shapes a cell's numbers: its fields, the recipe's settings that matter, the corpora, our version.

    `model_sha256` is the hash of the model's files (`model_files`): with it a model is the same under any name or path.
    """
    config: dict[str, Any] = {
        **{name: value for name, value in as_plain(cell).items() if value is not None or name not in LATER_FIELDS},
        "recipe": recipe.name,
        "model": as_plain(recipe.model),
        "score": as_plain(recipe.score),
        "corpus_limit": recipe.corpus.limit,
        "corpus_hash": corpus_hashes[cell.corpus],
        "chirpbridge": simulator_version(),
    }
    if cell.sf is not None:
        names = RADIO_SETTINGS + (DISTANCE_SETTINGS if cell.distance_km is not None else ())
        names += ("period_s",) if cell.axis == "equal_airtime" else ()
        config["radio"] = {name: as_plain(recipe.radio)[name] for name in names}
        if cell.fading == "rician":
            config["radio"]["k_factor_db"] = recipe.radio.k_factor_db
    if model_sha256 is not None and cell.method != RULES:
        config["model"]["sha256"] = model_sha256
    config["training_hash"] = corpus_hashes["mutants-validation"]  # the threshold of `detect` is fitted there
    if cell.trained:
        config["training"] = {**as_plain(recipe.training), "methods": None, "seeds": None}
        config["training_hash"] += "/" + corpus_hashes["mutants-train"]
    return config


def cell_name(cell: Cell, config: dict[str, Any]) -> str:
    """Folder of a cell: what a person looks for first, then the hash that makes it unique."""
    identity = {key: value for key, value in config.items() if key != "recipe"}
    model = config["model"]
    if cell.method == RULES:  # no model answers
        del identity["model"]
    elif "sha256" in model:
        identity["model"] = {key: value for key, value in model.items() if key != "name"}
    words = [cell.corpus, cell.method, *([f"seed{cell.train_seed}"] if cell.trained else []), cell.corrupted_split]
    if cell.sf is not None:
        words += [f"sf{cell.sf:02d}", *([f"{cell.distance_km:g}km"] if cell.distance_km is not None else [])]
        words += [f"loss{cell.frame_loss:g}"] if cell.frame_loss is not None else []
        words += [f"{cell.snr_db:g}dB", str(cell.policy), str(cell.axis)]
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
        shadowing_db=recipe.radio.shadowing_db if cell.distance_km is not None else 0.0,
    )


def simulator_version() -> str:
    """Version of this distribution; part of every result's identity."""
    try:
        return version("chirpbridge")
    except PackageNotFoundError:
        return "unknown"


def _links(recipe: Recipe) -> Iterator[dict[str, Any]]:
    radio = recipe.radio
    names = ("axis", "channel_seed", "fading", "cr", "policy", "source_coding")
    values = (radio.axis, radio.channel_seeds, radio.fading, radio.cr, radio.policy, radio.source_coding)
    for combination in itertools.product(*values):
        common: dict[str, Any] = dict(zip(names, combination, strict=True))
        for signal, sf in itertools.product(_signals(recipe, common["axis"]), radio.sf):
            link = common | signal | {"sf": sf}
            yield link | {"snr_db": _snr_db(link, recipe)}


def _signals(recipe: Recipe, axis: str) -> list[dict[str, float]]:
    """What an axis holds equal between spreading factors, at each of its levels."""
    radio = recipe.radio
    if axis == "equal_loss":
        return [{"frame_loss": value} for value in radio.frame_loss]
    if axis == "equal_energy":
        return [{"ebn0_db": value} for value in radio.ebn0_db]
    if axis == "distance" or (axis == "equal_airtime" and radio.distance_km):
        return [{"distance_km": value} for value in radio.distance_km]
    return [{"snr_db": value} for value in radio.snr_db]


def _snr_db(link: Mapping[str, Any], recipe: Recipe) -> float:
    """The SNR that a level means on a link."""
    if "distance_km" in link:
        return snr_at_distance_db(link["distance_km"], recipe.radio)
    if "ebn0_db" in link:
        return equal_energy_snr_db(link["ebn0_db"], _settings(link, recipe))
    if "frame_loss" in link:
        return equal_loss_snr_db(link["frame_loss"], _settings(link, recipe))
    return float(link["snr_db"])


def _settings(link: Mapping[str, Any], recipe: Recipe) -> RadioSettings:
    """What of a link's settings shapes a full packet and its loss; 0 dB for the SNR that is not known yet."""
    known = {name: link[name] for name in ("sf", "cr", "fading")}
    return radio_settings(Cell(corpus="", method="", train_seed=None, corrupted_split="", snr_db=0.0, **known), recipe)
