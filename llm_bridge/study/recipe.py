"""Recipes: one TOML file per experiment, read once into frozen dataclasses.

The schema is this module's dataclasses; `llm_bridge.study.recipe_files` reads TOML by it, names every mistake at once,
and writes the JSON schema for editors and the table of keys in the documentation. What shapes a result and is left out
takes the default written here, and the resolved recipe is stored with the results.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, Strict
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema

from llm_bridge.annotations import TASKS
from llm_bridge.axes import AXES, QUANTITIES, Site
from llm_bridge.corpora import own_corpus
from llm_bridge.corpora.contexts import CONTEXTS
from llm_bridge.link import Link
from llm_bridge.training.methods import PRESETS
from llm_bridge.training.settings import DEFAULT_OBJECTIVES, SCHEDULES
from llm_bridge.transport.policies import POLICIES
from llm_bridge.transport.settings import RadioSettings
from llm_bridge.transport.tokens import SOURCE_CODINGS
from lora_phy.studies.budget import REGIONS

RECIPE_VERSION = 1
CORPORA = ("minibugs", "mutants", "mutants-mutmut", "quixbugs", "minibugs-renamed", "quixbugs-renamed")
MUTANTS = "mutants"
RENAMED = "-renamed"
"""Ending of a corpus whose identifiers are renamed: a control for memory, never trained on."""
YOUNGER_KEYS = (
    "chat_template", "max_tokens", "target_modules", "layers", "preset", "read_layer", "head_learning_rate", "margin",
    "context",
)  # fmt: skip
"""Keys younger than published results: not part of what is hashed where they are left out, or "none"."""
CORRUPTED_SPLITS = ("none", "train", "eval", "both")
SCHEMA = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names the keys, what is allowed and what was found."""


@dataclasses.dataclass(frozen=True)
class Within:
    """Bounds of a number, as an annotation; both ends count unless `ends` says otherwise."""

    low: float
    high: float = math.inf
    ends: str = "[]"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the bounds after the type."""
        return AfterValidator(self.check).__get_pydantic_core_schema__(source, handler)

    def check(self, value: float) -> float:
        """Refuse what lies beyond a bound, and what is not finite."""
        above = value >= self.low if self.ends[0] == "[" else value > self.low
        below = value <= self.high if self.ends[1] == "]" else value < self.high
        if not (above and below and math.isfinite(value)):
            raise ValueError(f"must be {self.words(finite=isinstance(value, float))}")
        return value

    def words(self, *, finite: bool) -> str:
        """The bounds in words; that a number be finite is said where it may be otherwise."""
        if self.high < math.inf:
            return f"in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}"
        low = "at least" if self.ends[0] == "[" else "above"
        return f"{low} {self.low:g}{' and finite' if finite else ''}"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """The words that a key allows, as an annotation; with `files` also ``file:PATH``, which is read (`own_corpus`)."""

    allowed: tuple[str, ...]
    files: bool = False

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the word after the type."""
        return AfterValidator(self.check).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, core: object, handler: object) -> dict[str, object]:
        """List the words."""
        words: dict[str, object] = {"type": "string", "enum": list(self.allowed)}
        return {"anyOf": [words, {"type": "string", "pattern": "^file:."}]} if self.files else words

    def check(self, value: str) -> str:
        """Refuse any other word."""
        if self.files and value.startswith(own_corpus.PREFIX):
            return own_corpus.pinned(value)
        if value not in self.allowed:
            known = f"must be among {', '.join(self.allowed)}"
            raise ValueError(f"{known}, or {own_corpus.PREFIX}PATH" if self.files else known)
        return value


def _listed(value: object) -> object:
    """A scalar where a list is expected is a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _printable(value: str) -> str:
    if not value.replace("\n", "").isprintable():
        raise ValueError("must not hold control characters")
    return value


T = TypeVar("T")
Many = Annotated[tuple[T, ...], BeforeValidator(_listed)]
OneOrMore = Annotated[tuple[T, ...], Field(min_length=1), BeforeValidator(_listed)]
Int = Annotated[int, Strict()]
Float = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, BeforeValidator(_as_text), AfterValidator(_printable)]
Seed = Annotated[Int, Within(0)]
SpreadingFactor = Annotated[Int, Within(5, 12)]
Count = Annotated[Int, Within(1)]
NotNegative = Annotated[Float, Within(0)]
Positive = Annotated[Float, Within(0, ends="()")]
Task = Annotated[Text, OneOf(TASKS)]


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
class ModelConfig:
    """Language model, the device that it computes on, and its precision."""

    name: Text = "smollm2-135m-instruct"
    """A known name, a hub id, or a path."""
    device: Text | None = None
    """Device of torch, as "cpu" or "cuda"; left out, a GPU where there is one."""
    compute: Annotated[Text, OneOf(("float32", "bfloat16", "auto"))] | None = None
    """Precision of the computation. "auto" is bfloat16 where the hardware has it. Left out, it is float32 on a CPU,
    where numbers then do not depend on what it has, and "auto" on a GPU (`llm_bridge.training.precision`)."""
    chat_template: Flag = False
    """Whether texts are put into the model's chat template as a user's message; what is asked is in the provenance."""


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
class CorpusConfig:
    """Test corpora, and the corpora of training.

    A corpus of your own is ``file:PATH``, a JSONL file (`llm_bridge.corpora.own_corpus`); a relative path is taken from
    the recipe's folder, and with ``--set`` from the current one.
    """

    test: OneOrMore[Annotated[Text, OneOf(CORPORA, files=True)]] = ("minibugs",)
    """Names of the corpora to test on; "…-renamed" has other identifiers (`llm_bridge.corpora.renaming`),
    "file:PATH" is a file of your own."""
    train: OneOrMore[Annotated[Text, OneOf((MUTANTS,), files=True)]] = (MUTANTS,)
    """Corpora to learn from, one after the other: mutants, and files of your own as "file:PATH"."""
    limit: Annotated[Int, Within(0)] = 0
    """Number of pairs of each test corpus, the first ones; 0 means all."""
    quixbugs_path: Text = ""
    """A clone's root or the JSONL file of QuixBugs."""
    train_pairs: Count = 512
    """Number of mutants to learn from; of a file, all pairs."""
    validation_pairs: Annotated[Int, Within(0)] = 60
    """Number of pairs to fit the threshold of *detect* on."""
    mutants_seed: Seed = 0
    """Seed by which the mutants of the corpus "mutants-mutmut" are drawn."""
    train_max_chars: Count = 600
    """Largest number of characters of a mutant to learn from."""

    def __post_init__(self) -> None:
        """Refuse QuixBugs without its files."""
        if any(name.startswith("quixbugs") for name in self.test) and not self.quixbugs_path:
            raise ValueError("'corpus.quixbugs_path' must name a clone of QuixBugs or its JSONL file (got '')")


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
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
    (`airtime_s`, `send_time_s`) and whether each frame keeps to the dwell time.

    Every training seed is scored on every channel seed. With ``channel_seeds_per_training_seed = k`` each has k of its
    own, in the order of both lists, the same for every method; what is not trained is scored on all of them. For the
    same number of cells that averages over more realisations of the channel.
    """

    axis: OneOrMore[Annotated[Text, OneOf(tuple(AXES))]] = ("fixed_snr",)
    """What is held equal between spreading factors (`llm_bridge.axes.AXES`)."""
    sf: OneOrMore[SpreadingFactor] = (7, 8, 9, 10, 11, 12)
    """Spreading factors, 5 to 12."""
    levels: Mapping[str, Many[Float]] = Field(default_factory=lambda: {"snr_db": (-10.0,)})
    """Levels of every quantity that an axis can hold equal (`llm_bridge.axes.QUANTITIES`), each a key of its own."""
    fading: OneOrMore[Annotated[Text, OneOf(("none", "rayleigh", "rician"))]] = ("none",)
    """Fading of the channel, one fade a frame where `doppler_hz` is 0."""
    cr: OneOrMore[Annotated[Int, Within(1, 4)]] = (1,)
    """Coding rates 4/(4 + cr)."""
    policy: OneOrMore[Annotated[Text, OneOf(tuple(POLICIES))]] = ("drop",)
    """What the receiver does with damaged frames (`llm_bridge.transport.policies`)."""
    source_coding: OneOrMore[Annotated[Text, OneOf(tuple(SOURCE_CODINGS))]] = ("utf8",)
    """How a text becomes bytes (`llm_bridge.transport.tokens`)."""
    corrupted_split: OneOrMore[Annotated[Text, OneOf(CORRUPTED_SPLITS)]] = ("none", "eval")
    """Which texts cross the link: none, those to learn from, those to evaluate, or both."""
    channel_seeds: OneOrMore[Seed] = (0,)
    """Seeds of all noise and fades."""
    channel_seeds_per_training_seed: Annotated[Int, Within(0)] = 0
    """Number of channel seeds that each training seed has for its own; 0 means all of them."""
    bandwidth_hz: Annotated[Float, Within(1.0)] = 125e3
    """Bandwidth in Hz."""
    redundancy: NotNegative = 0.5
    """Parity packets over data packets, rounded up; the policy "erasure" alone uses it."""
    k_factor_db: Annotated[Float, Within(-100, 100)] | None = None
    """K factor of Rician fading in dB."""
    doppler_hz: Annotated[Float, Within(0, 1000)] = 0.0
    """Largest Doppler shift of Rayleigh and Rician fading in Hz, at which the fade changes within a frame (Clarke's
    spectrum): 3 Hz is a walk at 868 MHz, 0 one fade a frame. Above 0 every sample is simulated, which is far slower."""
    fragment: Text = "48"
    """Most bytes of text in a packet, 3 to 251, or "max": the longest that EU868 permits at each spreading factor."""
    decoding: Annotated[Text, OneOf(("hard", "soft"))] = "hard"
    """How a frame's symbols are decoded."""
    sync: Annotated[Text, OneOf(("perfect", "receiver"))] = "perfect"
    """Synchronisation: "perfect", or "receiver", which finds each frame itself and takes hundreds of times longer."""
    pair_noise: Annotated[Text, OneOf(("same", "independent"))] = "same"
    """Noise of the two versions of a program: the same relative to what each sends, so that both lose the same
    fragments, or independent."""
    engine: Annotated[Text, OneOf(("bins", "waveform"))] | None = None
    """What is simulated: the bins of a matched filter, or every sample. Left out, bins wherever they are exact; the
    results have the same distribution."""
    airtime_reference_sf: SpreadingFactor = 9
    """Spreading factor whose airtime for the test corpus is everyone's budget on the axis "equal_airtime"."""
    period_s: Annotated[Float, Within(0, 604_800)] = 0.0
    """Seconds in which the test corpus is to be sent on the axis "equal_airtime", at most a week; 0 takes
    `airtime_reference_sf`."""
    tx_power_dbm: Annotated[Float, Within(-100, 100)] = 14.0
    """Radiated power in dBm, at most what the region allows."""
    path_loss_exponent: NotNegative = 3.5
    """Exponent of log-distance path loss beyond 1 m."""
    shadowing_db: NotNegative = 0.0
    """Standard deviation of shadowing in dB where a distance is held equal, drawn once for each text."""
    noise_figure_db: NotNegative = 6.0
    """Noise figure of the receiver in dB."""
    region: Annotated[Text, OneOf(tuple(REGIONS))] = "EU868"
    """Region whose rules hold (`lora_phy.studies.budget.REGIONS`)."""
    duty_cycle: Annotated[Float, Within(0, 1, ends="(]")] | None = None
    """Share of time that may be spent on air; left out, the region's."""

    def __post_init__(self) -> None:
        """Check what several keys shape together."""
        problems = []
        for axis in self.axis:
            names = AXES[axis].quantities
            if not any(self.levels.get(name) for name in names):
                problems.append(f"'radio.{names[0]}' must have at least one value for the axis {axis!r} (got none)")
        for name, levels in self.levels.items():
            quantity = QUANTITIES[name]
            for level in levels:
                if not (quantity.low < level < quantity.high or (name == "snr_db" and level == math.inf)):
                    problems.append(f"'radio.{name}' must be {quantity.range_words} (got {level})")
        limit = REGIONS[self.region].max_eirp_dbm
        if self.levels.get("distance_km") and not self.tx_power_dbm <= limit:
            allowed = f"at most {limit:g} dBm in {self.region}"
            problems.append(f"'radio.tx_power_dbm' must be {allowed} (got {self.tx_power_dbm})")
        if self.fragment != "max" and not (self.fragment.isdecimal() and 3 <= int(self.fragment) <= 251):
            allowed = "a number of bytes in [3, 251] or 'max'"
            problems.append(f"'radio.fragment' must be {allowed} (got {self.fragment!r})")
        if "rician" in self.fading and self.k_factor_db is None:
            problems.append("'radio.k_factor_db' must be given where 'radio.fading' is rician (got none)")
        if self.doppler_hz and self.engine == "bins":
            problems.append("'radio.engine' must not be 'bins' where 'radio.doppler_hz' is above 0 (got 'bins')")
        if self.doppler_hz and "equal_loss" in self.axis:
            allowed = "0 on the axis 'equal_loss', whose SNR is found for one fade a frame"
            problems.append(f"'radio.doppler_hz' must be {allowed} (got {self.doppler_hz})")
        if problems:
            raise ValueError("\n".join(problems))

    @property
    def site(self) -> Site:
        """Power, path loss and noise figure: what turns a distance into an SNR."""
        return Site(
            tx_power_dbm=self.tx_power_dbm,
            path_loss_exponent=self.path_loss_exponent,
            noise_figure_db=self.noise_figure_db,
            region=self.region,
        )

    @property
    def allowed_duty_cycle(self) -> float:
        """Share of time that may be spent on air: `duty_cycle`, else the region's, else 1 (no limit)."""
        return self.duty_cycle if self.duty_cycle is not None else REGIONS[self.region].duty_cycle or 1.0

    def levels_of(self, axis: str) -> tuple[str, tuple[float, ...]]:
        """Name and levels of what an axis holds equal: of its first quantity that has a level here."""
        return next((name, self.levels[name]) for name in AXES[axis].quantities if self.levels.get(name))

    def settings_of(self, link: Link) -> RadioSettings:
        """The radio of a link, on which each item is sent once."""
        return link.radio_settings(
            bandwidth_hz=self.bandwidth_hz,
            redundancy=self.redundancy,
            fragment_len="max" if self.fragment == "max" else int(self.fragment),
            decoding=self.decoding,
            sync=self.sync,
            pair_noise=self.pair_noise,
            engine=self.engine,
            k_factor_db=self.k_factor_db,
            doppler_hz=self.doppler_hz,
            shadowing_db=self.shadowing_db,
        )


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
class TrainingConfig:
    """Methods and their training: the same steps, batches and schedule for all, a learning rate for each."""

    methods: Many[Text] = ("zero-shot",)
    """Ways of learning (`llm_bridge.training.adapters.METHODS`, and the rules that read nothing,
    `llm_bridge.scoring.rules`: "rules", "rule-longest-line"). With none (``methods = []``) the channel
    stage alone is run, which asks no model (`llm_bridge.study.channel`)."""
    seeds: OneOrMore[Seed] = (0,)
    """Training seeds."""
    steps: Count = 40
    """Number of optimiser steps."""
    batch_programs: Count = 4
    """Number of programs whose gradients are added up before a step, each with those of its texts that teach."""
    learning_rate: Mapping[str, Positive] = Field(default_factory=dict)
    """Peak learning rate by method (or by "lora" and "qlora" for their layer-wise variants), tuned on the clean link
    with equal trials."""
    objectives: Mapping[str, NotNegative] = Field(default_factory=lambda: dict(DEFAULT_OBJECTIVES))
    """Weights of "line", "distil", "likelihood", "localise", "detect" and "repair"
    (`llm_bridge.training.objectives`)."""
    warmup_fraction: Annotated[Float, Within(0, 1)] = 0.1
    """Share of the steps in which the learning rate rises."""
    schedule: Annotated[Text, OneOf(SCHEDULES)] = "cosine"
    """Course of the learning rate after the warm-up."""
    clip_norm: Positive = 1.0
    """Largest norm of the gradient."""
    adapter_rank: Count = 8
    """Rank of the adapter's matrices."""
    adapter_alpha: Count = 16
    """Scale of the adapter, over its rank."""
    adapter_dropout: Annotated[Float, Within(0, 1, ends="[)")] = 0.0
    """Dropout in front of the adapter."""
    gradient_checkpointing: Flag = False
    """Whether each block is computed again on the way back, which saves memory."""
    max_tokens: Count | None = None
    """Longest text in tokens that the model reads, prefix and suffix included; what is beyond is cut and counted. Left
    out, 1,024 or the model's positions, whichever is less."""
    read_layer: Count | None = None
    """Number of blocks, from 1, after which a trained head reads the verdicts; blocks behind it are neither trained nor
    run. Left out, verdicts are read from the output head after the last block."""
    head_learning_rate: Positive | None = None
    """Peak learning rate of the trained head; left out, 0.001."""
    target_modules: Many[Text] = ()
    """Linear layers of a block that get adapters; none means the seven of the Llama family."""
    layers: Many[Annotated[Int, Within(0)]] = ()
    """Indices of the blocks that get adapters, for "lora", "qlora" and their "…-manual" forms; none means all."""
    preset: Annotated[Text, OneOf(tuple(PRESETS))] | None = None
    """Published settings (`llm_bridge.training.methods.PRESETS`) in place of those above, for the methods that the
    preset is of."""


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
class ScoreConfig:
    """Tasks that are scored, and the making of intervals.

    *repair* is expensive (it generates `repair_candidates` fixes of the line of the largest bug score, or, with
    ``repair_form = "program"``, whole programs, and runs every test on each), so it is scored only where it is listed.
    """

    tasks: OneOrMore[Task] = ("localise", "paired", "detect")
    """Tasks that are scored."""
    trained_tasks: Many[Task] = ()
    """Tasks that are scored for fine-tuned models over a link; none means all of `tasks`. Without a link it is always
    all of them, so that every task is reported before and after training."""
    bootstrap: Annotated[Int, Within(100, 1_000_000)] = 10_000
    """Number of resamples of the bootstrap."""
    margin: Mapping[str, Annotated[Float, Within(0, 1, ends="()")]] = Field(default_factory=dict)
    """Margin of equivalence by task, registered before the study: a third of the skill at stake on validation mutants
    (`llm_bridge.report.tests.margins_of`). It shapes no number; without one the report takes 0.10."""
    context: Annotated[Text, OneOf(CONTEXTS)] = "none"
    """What of a program is known at the receiver and stands, as comments, before every text that a model reads, in
    training too: nothing, its docstring, or that and its first cases (`llm_bridge.corpora.contexts`)."""
    repair_form: Annotated[Text, OneOf(("line", "program"))] = "line"
    """What *repair* generates: one line, or a whole program."""
    repair_candidates: Annotated[Int, Within(1, 1000)] = 1
    """Number of candidates of *repair* for each text."""

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """Tasks that are scored in any cell."""
        return (*self.tasks, *self.trained_tasks)


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
class Recipe:
    """One experiment, whole."""

    version: Int = RECIPE_VERSION
    """Version of this schema."""
    name: Text = "unnamed"
    """Name of the experiment; it shapes no number."""
    description: Text = ""
    """What the experiment is for; it shapes no number."""
    model: ModelConfig = Field(default_factory=ModelConfig)
    corpus: CorpusConfig = Field(default_factory=CorpusConfig)
    radio: RadioConfig = Field(default_factory=RadioConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    score: ScoreConfig = Field(default_factory=ScoreConfig)

    def __post_init__(self) -> None:
        """Refuse seeds that do not fit each other."""
        each, seeds, channels = (
            self.radio.channel_seeds_per_training_seed, self.training.seeds, self.radio.channel_seeds,
        )  # fmt: skip
        if each and len(channels) != each * len(seeds):
            raise ValueError(
                f"'radio.channel_seeds' must have {each} values for each of {len(seeds)} training seeds, "
                f"{each * len(seeds)} in all (got {len(channels)})"
            )
        for name, values in (("radio.channel_seeds", channels), ("training.seeds", seeds)):
            if each and len(set(values)) < len(values):
                raise ValueError(f"'{name}' must not repeat a seed where they are nested (got {list(values)})")

    def channel_seeds_of(self, train_seed: int | None) -> tuple[int, ...]:
        """Channel seeds on which a training seed is scored; all of them for what is not trained (`None`).

        Examples
        --------
        >>> from llm_bridge.study.recipe_files import load_recipe
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


def as_plain(value: object) -> Any:
    """A recipe, or part of it, as dicts and lists: what is hashed and stored."""
    if isinstance(value, RadioConfig):
        plain = {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        levels = plain.pop("levels")
        return plain | {name: levels.get(name, []) for name in QUANTITIES}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {name: item for name, item in plain.items() if name not in YOUNGER_KEYS or (item and item != "none")}
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_plain(item) for item in value]
    return value
