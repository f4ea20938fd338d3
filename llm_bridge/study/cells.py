"""Cells: the smallest unit of a study, one radio link with one way of learning, scored on one corpus.

A recipe's grid is expanded into cells; what cannot make a difference is dropped, so that nothing is computed or counted
twice: without a corrupted split the link is not crossed, and without training there is no training seed.

A method that ends in "-shuffled" is the control of its stem: trained alike, on labels that mean nothing (`shuffling`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from llm_bridge.axes import LEVEL_COLUMNS, QUANTITIES
from llm_bridge.corpora.own_corpus import label
from llm_bridge.files import digest
from llm_bridge.link import Link, link_columns
from llm_bridge.scoring.rules import RULE_TASKS, RULES, is_rule
from llm_bridge.study.provenance import code_identity, function_identity, simulator_version
from llm_bridge.study.recipe import RadioConfig, Recipe, ScoreConfig, as_plain
from llm_bridge.transport.policies import find_policy
from llm_bridge.transport.tokens import find_coding

UNTRAINED = ("zero-shot", "zero-shot-nf4", *RULE_TASKS)
SHUFFLED = "-shuffled"
IN_CONTEXT = " in context"
"""Ending of the name, among hashes of corpora, under which a corpus's contexts have theirs."""
RADIO_SETTINGS = ("bandwidth_hz", "redundancy", "fragment", "decoding", "airtime_reference_sf", "region", "duty_cycle")
"""Of the recipe's section: what shapes or labels every link and is not a field of one."""
LATER_SETTINGS = {"sync": "perfect", "pair_noise": "same", "engine": None, "doppler_hz": 0.0}
"""Keys of the section that are younger than published results, with their defaults: in a name where they differ."""
LATER_COLUMNS = tuple(name for name in LEVEL_COLUMNS if not QUANTITIES[name].written_where_none)
"""Columns that are younger than published results: left out of a cell's configuration where they are None."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of the grid; `link` is None where no link is crossed (``corrupted_split="none"``)."""

    corpus: str
    method: str
    train_seed: int | None
    corrupted_split: str
    link: Link | None = None

    @property
    def evaluation_link(self) -> Link | None:
        """The link that the texts to evaluate crossed; None where they did not."""
        return self.link if self.corrupted_split in ("eval", "both") else None

    @property
    def training_link(self) -> Link | None:
        """The link that the texts to learn from crossed; None where they did not."""
        return self.link if self.corrupted_split in ("train", "both") else None

    @property
    def trained(self) -> bool:
        """Whether the method changes the model at all."""
        return self.method not in UNTRAINED


def expand(recipe: Recipe) -> list[Cell]:
    """Every cell of a recipe's grid, once, in the order corpus, split, link, method, seed.

    Examples
    --------
    >>> from llm_bridge.study.recipe_files import load_recipe
    >>> recipe = load_recipe("toy", ["radio.sf=[7, 12]", "radio.snr_db=-8.0", "training.methods=['zero-shot', 'full']"])
    >>> [(cell.method, cell.link.sf) for cell in expand(recipe) if cell.link]
    [('zero-shot', 7), ('full', 7), ('zero-shot', 12), ('full', 12)]
    """
    cells: dict[Cell, None] = {}
    training = recipe.training
    for corpus, split in itertools.product(map(label, recipe.corpus.test), recipe.radio.corrupted_split):
        for link in links(recipe) if split != "none" else [None]:
            for method, seed in itertools.product(training.methods, training.seeds):
                trained = method not in UNTRAINED
                own_seed = seed if trained else None
                if link is not None and link.channel_seed not in recipe.channel_seeds_of(own_seed):
                    continue
                effective = split if trained else {"train": "none", "both": "eval"}.get(split, split)
                cell = Cell(corpus=corpus, method=method, train_seed=own_seed, corrupted_split=effective)
                cell = replace(cell, link=link if effective != "none" else None)
                if tasks_of(cell, recipe):
                    cells[cell] = None
    return list(cells)


def channel_links(recipe: Recipe) -> list[tuple[str, Link]]:
    """Every test corpus over every link, whatever the methods: what the channel stage sends.

    Examples
    --------
    >>> from llm_bridge.study.recipe_files import load_recipe
    >>> recipe = load_recipe("toy", ["radio.policy=['drop', 'deliver']", "training.methods=[]"])
    >>> len(expand(recipe)), len(channel_links(recipe)) == 2 * 3 * 2  # spreading factors, SNRs, policies
    (0, True)
    """
    return list(itertools.product(map(label, recipe.corpus.test), links(recipe)))


def links(recipe: Recipe) -> list[Link]:
    """Every radio link of a recipe's grid."""
    radio = recipe.radio
    grid = itertools.product(radio.axis, radio.channel_seeds, radio.fading, radio.cr, radio.policy, radio.source_coding)
    found, snrs = [], dict[Link, float]()
    for axis, channel_seed, fading, cr, policy, source_coding in grid:
        quantity, levels = radio.levels_of(axis)
        for level, sf in itertools.product(levels, radio.sf):
            link = Link(
                axis=axis, level=level, quantity=quantity, sf=sf, snr_db=0.0, fading=fading, cr=cr, policy=policy,
                source_coding=source_coding, channel_seed=channel_seed,
            )  # fmt: skip
            plain = replace(link, axis="", policy="drop", source_coding="utf8", channel_seed=0)  # what shapes the SNR
            if plain not in snrs:
                snrs[plain] = float(plain.held.snr_db(level, radio.settings_of(plain), radio.site))
            found.append(replace(link, snr_db=snrs[plain]))
    return found


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
    link = link_columns(cell.link)
    config: dict[str, Any] = {
        **{name: getattr(cell, name) for name in ("corpus", "method", "train_seed", "corrupted_split")},
        **{name: value for name, value in link.items() if value is not None or name not in LATER_COLUMNS},
        "recipe": recipe.name,
        "model": as_plain(recipe.model),
        "score": _score_settings(cell, recipe),
        "corpus_limit": recipe.corpus.limit,
        "corpus_hash": corpus_hashes[cell.corpus],
        "chirpbridge": simulator_version(),
        "code": {name: code_identity(name) for name in ("model", "score")},
    }
    if cell.link is not None:
        radio = as_plain(recipe.radio) | _unread(cell.link, recipe)
        names = (*RADIO_SETTINGS, *cell.link.setting_names)
        later = {name for name, default in LATER_SETTINGS.items() if radio[name] != default}
        config["radio"] = {name: radio[name] for name in (*names, *sorted(later))}
        config["code"]["link"] = link_code(cell.link.policy, cell.link.source_coding)
    if model_sha256 is not None and not is_rule(cell.method):
        config["model"]["sha256"] = model_sha256
    fitted = ["mutants-validation"] if not is_rule(cell.method) else []  # the threshold of `detect`
    if cell.trained:
        config["training"] = {**as_plain(recipe.training), "methods": None, "seeds": None}
    elif not is_rule(cell.method) and recipe.training.max_tokens:  # nor is an untrained model shown more of a text
        config["max_tokens"] = recipe.training.max_tokens
    if cell.trained or cell.method == RULES:  # the fixed line is fitted on it too
        fitted.append("mutants-train")
    config["training_hash"] = "/".join(corpus_hashes[name] for name in fitted)
    if context_kind(cell, recipe) != "none":
        config["context_hash"] = "/".join(corpus_hashes.get(name + IN_CONTEXT, "") for name in (cell.corpus, *fitted))
    return config


def cell_name(cell: Cell, config: dict[str, Any]) -> str:
    """Folder of a cell: what a person looks for first, then the hash that makes it unique.

    The code is no part of the name: a finished cell of other code is computed anew (`experiment`).
    """
    identity = {key: value for key, value in config.items() if key not in ("recipe", "code")}
    model = config["model"]
    if is_rule(cell.method):  # no model answers
        del identity["model"]
    elif "sha256" in model:
        identity["model"] = {key: value for key, value in model.items() if key != "name"}
    words = [cell.corpus, cell.method, *([f"seed{cell.train_seed}"] if cell.trained else []), cell.corrupted_split]
    words += [cell.link.label] if cell.link is not None else []
    return "-".join([*words, digest(identity, length=10)])


def tasks_of(cell: Cell, recipe: Recipe) -> tuple[str, ...]:
    """Tasks that are scored in a cell: a trained model over a link may be asked for fewer, a rule answers its own."""
    fewer = cell.trained and cell.evaluation_link and recipe.score.trained_tasks
    tasks = recipe.score.trained_tasks if fewer else recipe.score.tasks
    return tuple(task for task in tasks if task in RULE_TASKS.get(cell.method, tasks))


def context_kind(cell: Cell, recipe: Recipe) -> str:
    """Kind of context in which a cell's model reads each program; "none" for a rule."""
    return "none" if is_rule(cell.method) else recipe.score.context


def link_code(policy: str, source_coding: str) -> list[object]:
    """Identity of a link's code: all that carries frames, and this policy's and coding's own functions."""
    kept, coding = find_policy(policy), find_coding(source_coding)
    own = [kept.keep, kept.control, coding.encode, coding.pieces]
    return [code_identity("link"), digest([*map(function_identity, own), kept.parity, coding.unit_bits])]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _unread(link: Link, recipe: Recipe) -> dict[str, object]:
    """Settings that a link does not read, at their defaults: a change of them is no change of its cells."""
    default, found = RadioConfig(), dict[str, object]()
    if not find_policy(link.policy).parity:
        found["redundancy"] = default.redundancy
    if link.axis != "equal_airtime" or recipe.radio.period_s:
        found["airtime_reference_sf"] = default.airtime_reference_sf
    if link.fading == "none":
        found["doppler_hz"] = default.doppler_hz
    return found


def _score_settings(cell: Cell, recipe: Recipe) -> dict[str, object]:
    """The recipe's section ``score``; the settings of *repair* at their defaults where it is not scored."""
    default, found = ScoreConfig(), as_plain(replace(recipe.score, margin={}))
    if "repair" not in tasks_of(cell, recipe):
        found |= {"repair_form": default.repair_form, "repair_candidates": default.repair_candidates}
    if is_rule(cell.method):
        found.pop("context", None)
    return dict(found)
