"""Recipes: one TOML file per experiment, read once into frozen dataclasses.

Below this border nobody sees a dict. An unknown key is an error that names it and the nearest known one; a scalar where
a list is expected is a list of one; what shapes a result and is left out takes the default written here, and the
resolved recipe is stored with the results.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_bridge.training.settings import DEFAULT_OBJECTIVES
from lora_phy.studies.budget import REGIONS

RECIPE_VERSION = 1
CORPORA = ("minibugs", "mutants", "mutants-mutmut", "quixbugs", "minibugs-renamed", "quixbugs-renamed")
RENAMED = "-renamed"
"""Ending of a corpus whose identifiers are renamed: a control for memory, never trained on."""
CORRUPTED_SPLITS = ("none", "train", "eval", "both")
AXES = ("fixed_snr", "equal_airtime", "distance", "equal_energy", "equal_loss")
TASKS = ("localise", "paired", "detect", "repair")
FADINGS = ("none", "rayleigh", "rician")
DECODINGS = ("hard", "soft")
COMPUTES = ("float32", "bfloat16", "auto")


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names the key, what is allowed and what was found."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which language model: a known name, a hub id, or a path; where it computes, and in which precision.

    `compute` is "float32", "bfloat16" or "auto" (bfloat16 where the hardware has it); left out, it is float32 on a CPU,
    where numbers then do not depend on what it has, and "auto" on a GPU. See `llm_bridge.training.precision`.
    """

    name: str = "smollm2-135m-instruct"
    device: str | None = None
    compute: str | None = None

    def __post_init__(self) -> None:
        """Validate the precision."""
        if self.compute is not None:
            _require_each("model.compute", [self.compute], COMPUTES)


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """What is tested, and what the model is trained on.

    `test` names corpora ("…-renamed": with other identifiers, see `corpora.renaming`); `limit` keeps the first pairs of
    each (0: all). `quixbugs_path` is a clone's root or the JSONL file. Training and validation pairs are mutants of the
    installed standard library, the first of at most `train_max_chars` characters.
    """

    test: tuple[str, ...] = ("minibugs",)
    limit: int = 0
    quixbugs_path: str = ""
    train_pairs: int = 512
    validation_pairs: int = 60
    mutants_seed: int = 0
    train_max_chars: int = 600

    def __post_init__(self) -> None:
        """Validate names and counts."""
        _require_each("corpus.test", self.test, CORPORA)
        _require_at_least("corpus.limit", self.limit, 0)
        _require_at_least("corpus.train_pairs", self.train_pairs, 1)
        _require_at_least("corpus.validation_pairs", self.validation_pairs, 0)
        if any(name.startswith("quixbugs") for name in self.test) and not self.quixbugs_path:
            raise RecipeError("'corpus.quixbugs_path' must name a clone of QuixBugs or its JSONL file (got '')")


@dataclass(frozen=True, kw_only=True)
class RadioConfig:
    """The grid of radio links: every combination is a cell. `axis` says what is held equal between spreading factors.

    =============  =====================================================================================================
    fixed_snr      `snr_db`; every item is sent once
    distance       `distance_km` at `tx_power_dbm`: the SNR follows from log-distance path loss (`path_loss_exponent`)
                   at the region's frequency, shadowing of `shadowing_db` standard deviation, and `noise_figure_db`
    equal_energy   `ebn0_db`: energy on air per bit of text over noise density, preamble and headers included
    equal_loss     `frame_loss`: the share of full packets that is lost (bad CRC or header). What differs is airtime,
                   and under *deliver* the texture of damage; a frame meets the same fade at every spreading factor, so
                   that under *drop* nearly the same frames are lost
    equal_airtime  `distance_km` where given, else `snr_db`. Every spreading factor has the same seconds on air for the
                   test corpus, and uses them by repeating everything, or by sending what fits: what `duty_cycle` allows
                   in `period_s`, or (0) what `airtime_reference_sf` needs to send it once
    =============  =====================================================================================================

    A dead link is ``snr_db = -60.0``, a clean one ``snr_db = inf`` (all frames sent, none damaged). `region` gives
    frequency, most radiated power, duty cycle and dwell time (`lora_phy.studies.budget.REGIONS`); `duty_cycle` replaces
    the region's (1.0: no limit). Neither changes what arrives at a given SNR, but rows tell the time that sending takes
    (`airtime_s`, `send_time_s`) and whether each frame keeps to the dwell time. `k_factor_db` is the K factor of Rician
    fading.

    Every training seed is scored on every channel seed. With ``channel_seeds_per_training_seed = k`` each has k of its
    own, in the order of both lists, the same for every method; what is not trained is scored on all of them. For the
    same number of cells that averages over more realisations of the channel.
    """

    axis: tuple[str, ...] = ("fixed_snr",)
    sf: tuple[int, ...] = (7, 8, 9, 10, 11, 12)
    snr_db: tuple[float, ...] = (-10.0,)
    distance_km: tuple[float, ...] = ()
    ebn0_db: tuple[float, ...] = ()
    frame_loss: tuple[float, ...] = ()
    fading: tuple[str, ...] = ("none",)
    cr: tuple[int, ...] = (1,)
    policy: tuple[str, ...] = ("drop",)
    source_coding: tuple[str, ...] = ("utf8",)
    corrupted_split: tuple[str, ...] = ("none", "eval")
    channel_seeds: tuple[int, ...] = (0,)
    channel_seeds_per_training_seed: int = 0
    bandwidth_hz: float = 125e3
    redundancy: float = 0.5
    k_factor_db: float | None = None
    fragment: str = "48"
    decoding: str = "hard"
    airtime_reference_sf: int = 9
    period_s: float = 0.0
    tx_power_dbm: float = 14.0
    path_loss_exponent: float = 3.5
    shadowing_db: float = 0.0
    noise_figure_db: float = 6.0
    region: str = "EU868"
    duty_cycle: float | None = None

    def __post_init__(self) -> None:
        """Validate what the link itself does not."""
        _require_each("radio.axis", self.axis, AXES)
        _require_each("radio.corrupted_split", self.corrupted_split, CORRUPTED_SPLITS)
        _require_each("radio.fading", self.fading, FADINGS)
        _require_each("radio.decoding", [self.decoding], DECODINGS)
        for name in ("sf", "snr_db", "cr", "policy", "source_coding", "channel_seeds"):
            if not getattr(self, name):
                raise RecipeError(f"'radio.{name}' must have at least one value (got an empty list)")
        for axis, name in (("distance", "distance_km"), ("equal_energy", "ebn0_db"), ("equal_loss", "frame_loss")):
            if axis in self.axis and not getattr(self, name):
                raise RecipeError(f"'radio.{name}' must have at least one value for the axis {axis!r} (got none)")
        for kilometres in self.distance_km:
            if not 0 < kilometres < math.inf:
                raise RecipeError(f"'radio.distance_km' must be positive and finite (got {kilometres})")
        for share in self.frame_loss:
            if not 0 < share < 1:
                raise RecipeError(f"'radio.frame_loss' must be in (0, 1), both excluded (got {share})")
        for name in ("path_loss_exponent", "shadowing_db", "noise_figure_db", "period_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RecipeError(f"'radio.{name}' must be at least 0 and finite (got {getattr(self, name)})")
        if self.region not in REGIONS:
            raise RecipeError(f"'radio.region' must be among {', '.join(REGIONS)} (got {self.region!r})")
        limit = REGIONS[self.region].max_eirp_dbm
        if self.distance_km and not self.tx_power_dbm <= limit:
            raise RecipeError(
                f"'radio.tx_power_dbm' must be at most {limit:g} dBm in {self.region} (got {self.tx_power_dbm})"
            )
        if self.duty_cycle is not None and not 0 < self.duty_cycle <= 1:
            raise RecipeError(f"'radio.duty_cycle' must be in (0, 1] (got {self.duty_cycle})")
        for sf in (*self.sf, self.airtime_reference_sf):
            if not 5 <= sf <= 12:
                raise RecipeError(f"'radio.sf' must be in [5, 12] (got {sf})")
        _require_at_least("radio.channel_seeds_per_training_seed", self.channel_seeds_per_training_seed, 0)
        if self.fragment != "max" and not self.fragment.isdecimal():
            raise RecipeError(f"'radio.fragment' must be a number of bytes or 'max' (got {self.fragment!r})")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What is trained and how; the same steps, batches and schedule for every method, a learning rate for each.

    `learning_rate` maps a method (or "lora", "qlora" for their layer-wise variants) to its rate, tuned on the clean
    link with equal trials. `objectives` maps "line", "distil", "likelihood", "localise", "detect" and "repair" to
    their weights (`llm_bridge.training.objectives`). No method (``methods = []``): the channel stage alone, which asks
    no model (`channel`).
    """

    methods: tuple[str, ...] = ("zero-shot",)
    seeds: tuple[int, ...] = (0,)
    steps: int = 40
    batch_programs: int = 8
    learning_rate: Mapping[str, float] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_OBJECTIVES))
    warmup_fraction: float = 0.1
    schedule: str = "cosine"
    clip_norm: float = 1.0
    adapter_rank: int = 8
    adapter_alpha: int = 16
    adapter_dropout: float = 0.0
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        """Validate counts."""
        if not self.seeds:
            raise RecipeError("'training.seeds' must have at least one value (got an empty list)")
        _require_at_least("training.steps", self.steps, 1)
        _require_at_least("training.batch_programs", self.batch_programs, 1)


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Which tasks are scored, and how intervals are made.

    `trained_tasks` are the tasks scored for fine-tuned models over a link (empty: all of `tasks`; without a link it is
    always all of them, so that every task is reported before and after training). *repair* is expensive (it generates
    `repair_candidates` fixes of the most suspicious line, or, with ``repair_form = "program"``, whole programs, and
    runs every test on each), so it is scored only where it is listed.
    """

    tasks: tuple[str, ...] = ("localise", "paired", "detect")
    trained_tasks: tuple[str, ...] = ()
    bootstrap: int = 10_000
    repair_form: str = "line"
    repair_candidates: int = 1

    def __post_init__(self) -> None:
        """Validate names and counts."""
        _require_each("score.tasks", self.tasks, TASKS)
        _require_each("score.trained_tasks", self.trained_tasks, TASKS, may_be_empty=True)
        _require_at_least("score.bootstrap", self.bootstrap, 100)
        _require_each("score.repair_form", [self.repair_form], ("line", "program"))
        _require_at_least("score.repair_candidates", self.repair_candidates, 1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One experiment, whole."""

    version: int = RECIPE_VERSION
    name: str = "unnamed"
    description: str = ""
    model: ModelConfig = field(default_factory=ModelConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    radio: RadioConfig = field(default_factory=RadioConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)

    def __post_init__(self) -> None:
        """Refuse a recipe of another version, and seeds that do not fit each other."""
        _require_version(self.version)
        each, seeds = self.radio.channel_seeds_per_training_seed, self.training.seeds
        if each and len(self.radio.channel_seeds) != each * len(seeds):
            raise RecipeError(
                f"'radio.channel_seeds' must have {each} values for each of {len(seeds)} training seeds, "
                f"{each * len(seeds)} in all (got {len(self.radio.channel_seeds)})"
            )
        for name, values in (("radio.channel_seeds", self.radio.channel_seeds), ("training.seeds", seeds)):
            if each and len(set(values)) < len(values):
                raise RecipeError(f"'{name}' must not repeat a seed where they are nested (got {list(values)})")

    def channel_seeds_of(self, train_seed: int | None) -> tuple[int, ...]:
        """Channel seeds on which a training seed is scored; all of them for what is not trained (`None`).

        Examples
        --------
        >>> recipe = load_recipe("toy", ["training.seeds=[0, 1]", "radio.channel_seeds=[5, 6, 7, 8]",
        ...                              "radio.channel_seeds_per_training_seed=2"])
        >>> recipe.channel_seeds_of(1), recipe.channel_seeds_of(None)
        ((7, 8), (5, 6, 7, 8))
        """
        each, every = self.radio.channel_seeds_per_training_seed, self.radio.channel_seeds
        if not each or train_seed is None:
            return every
        first = each * self.training.seeds.index(train_seed)
        return every[first : first + each]


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path
        A TOML file; a bare name means one of the published recipes.
    overrides
        ``"section.key=value"``, values in TOML's notation; a bare word is a string.

    Raises
    ------
    RecipeError
        No such file, not TOML, an unknown key, a value of the wrong kind.

    Examples
    --------
    >>> load_recipe("toy", ["radio.sf=[7, 12]"]).radio.sf
    (7, 12)
    """
    file = Path(path)
    if not file.is_file() and file.name == str(path):  # a folder of that name is likely the results' own
        file = recipes_dir() / f"{file.name.removesuffix('.toml')}.toml"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in recipes_dir().glob("*.toml")))
        raise RecipeError(f"no recipe at {path} (published ones: {known})")
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{file} is not TOML: {error}") from error
    for override in overrides:
        _override(tree, override)
    return recipe_of(tree)


def recipe_of(tree: dict[str, Any]) -> Recipe:
    """A recipe from what `as_plain` made of it, or from TOML's tables.

    Examples
    --------
    >>> recipe_of(as_plain(load_recipe("demo"))) == load_recipe("demo")
    True
    """
    _require_version(tree.get("version", RECIPE_VERSION))  # first: another version has other keys
    recipe = _build(Recipe, tree, "")
    assert isinstance(recipe, Recipe)
    return recipe


def recipes_dir() -> Path:
    """Where the published recipes lie."""
    return Path(__file__).resolve().parents[1] / "recipes"


def as_plain(value: Any) -> Any:
    """A recipe, or part of it, as dicts and lists: what is hashed and stored."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_plain(item) for item in value]
    return value


def _override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise RecipeError(f"--set takes key=value (got {override!r})")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise RecipeError(f"--set {key}: {section!r} is no section")
    tree[last] = value


def _build(cls: type, tree: Any, where: str) -> Any:
    """A dataclass from a TOML table; every key must be a field."""
    if not isinstance(tree, dict):
        raise RecipeError(f"'{where}' must be a section (got {tree!r})")
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in tree.items():
        dotted = f"{where}.{key}" if where else key
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(hints)}"
            raise RecipeError(f"unknown key '{dotted}' in the recipe{hint}")
        values[key] = _convert(hints[key], value, dotted)
    try:
        return cls(**values)
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    origin = typing.get_origin(hint)
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_convert(typing.get_args(hint)[0], item, where) for item in items)
    if origin is types.UnionType:
        return None if value is None else _convert(typing.get_args(hint)[0], value, where)
    if origin is not None:  # a mapping of names to numbers
        if not isinstance(value, dict):
            raise RecipeError(f"'{where}' must be a table (got {value!r})")
        return {key: _convert(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise RecipeError(f"'{where}' must be of type {hint.__name__} (got {value!r})")
    return value


def _require_version(version: Any) -> None:
    if version != RECIPE_VERSION:
        raise RecipeError(f"this program reads recipes of version {RECIPE_VERSION} (got version {version})")


def _require_each(name: str, values: Sequence[str], allowed: Sequence[str], *, may_be_empty: bool = False) -> None:
    if not values and not may_be_empty:
        raise RecipeError(f"'{name}' must have at least one of {', '.join(allowed)} (got an empty list)")
    for value in values:
        if value not in allowed:
            raise RecipeError(f"'{name}' must be among {', '.join(allowed)} (got {value!r})")


def _require_at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise RecipeError(f"'{name}' must be at least {low} (got {value})")
