"""Federated study: what a site receives, what the server makes of it, identities, resuming, what is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from llm_bridge.files import StoreError
from llm_bridge.study import federated
from llm_bridge.study.recipe import Recipe, RecipeError
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.study.workspace import open_workspace
from llm_bridge.training import finetune as finetuning
from llm_bridge.training.adapters import attach
from llm_bridge.training.finetune import TrainSettings, finetune
from llm_bridge.training.methods import AdapterSettings
from llm_bridge.training.models import load_model

SMALL = [
    "model.name=toy", "model.compute=float32", "corpus.test=minibugs", "corpus.limit=3", "corpus.train_pairs=4",
    "corpus.validation_pairs=2", "corpus.train_max_chars=160", "radio.fading=none", "radio.sf=[7, 9]",
    "training.methods=lora", "training.learning_rate={lora=5e-3}", "training.steps=3", "training.batch_programs=2",
    "score.bootstrap=100", "score.tasks=['localise', 'paired', 'detect']",
]  # fmt: skip
torch.set_num_threads(1)  # small tensors, and other processes beside this one
ONE_HEARS = "radio.snr_db=-14.0"  # SF7 loses every frame, SF9 next to none (thresholds near -7.5 and -12.5 dB)
SOME_LOST = "radio.snr_db=-10.0"  # SF7 loses some


def recipe(*changes: str) -> Recipe:
    """The published recipe, small; without its head unless a change asks for one."""
    whole = load_recipe("federated", [*SMALL, "training.read_layer=1", *changes])
    if any(change.startswith("training.read_layer=") for change in changes):
        return whole
    return replace(whole, training=replace(whole.training, read_layer=None))


def run(folder: Path, *changes: str, rounds: tuple[int, ...] = (1, 2)) -> tuple[dict[str, Any], str]:
    console = Console(file=io.StringIO(), width=200)
    path = federated.run_federated(recipe(*changes), folder, rounds=rounds, console=console)
    assert path.read_text(encoding="utf-8") in console.file.getvalue()  # type: ignore[attr-defined]
    return json.loads((folder / federated.RESULTS_FILE).read_text()), console.file.getvalue()  # type: ignore[attr-defined]


def scores(result: dict[str, Any], model: str, rounds: int = 0) -> list[dict[str, Any]]:
    found = [row for row in result["models"] if (row["model"], row["rounds"]) == (model, rounds)]
    return [{key: value for key, value in row.items() if key not in ("model", "rounds")} for row in found]


def test_the_published_recipe_has_six_sites() -> None:
    whole = load_recipe("federated")
    federated._check(whole, (1, 5), ("average", "least-squares"), 0.01)
    assert whole.radio.sf == (7, 8, 9, 10, 11, 12)


def test_the_page_starts_federations() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/federated.md").read_text(encoding="utf-8")
    commands = [
        line for line in page.replace("\\\n", " ").splitlines() if line.startswith("    python -m llm_bridge fed")
    ]
    assert len(commands) == 2
    for line in commands:
        settings = [word for word in line.split() if "=" in word]
        federated._check(load_recipe(line.split()[4], settings), (1, 5), ("average", "least-squares"), 0.01)


def test_of_two_sites_of_which_one_hears_nothing_the_other_is_the_federation(tmp_path: Path) -> None:
    result, said = run(tmp_path, ONE_HEARS, rounds=(1,))
    deaf, hearing = result["sites"]
    assert (deaf["site"], deaf["sent"], deaf["arrived"], deaf["weight"]) == ("SF7", 8, 0, 0.0)
    assert (hearing["site"], hearing["arrived"], hearing["weight"]) == ("SF9", 8, 1.0)
    assert "SF7: nothing arrived, its weight is 0" in said and "| SF7 (channel seed 0) | 8 | 0 | 0: nothing" in said
    alone = scores(result, "SF9")
    assert len(alone) == 3 and all(row["n"] for row in alone)
    assert scores(result, "SF7") == []
    assert scores(result, "pooled") == scores(result, "the best site") == alone
    assert scores(result, federated.WORDS["average"], 1) == alone
    assert result["best_sites"] == ["SF9"]
    assert {row["f1"] for row in result["differences"] if row["rounds"] == 1} == {0.0}


def test_a_run_that_is_cut_short_goes_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight, _ = run(tmp_path / "straight", SOME_LOST)
    calls = []

    def killed(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) in (3, 7):
            raise KeyboardInterrupt
        return finetune(*arguments, **options)

    monkeypatch.setattr(finetuning, "finetune", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", SOME_LOST)
    resumed, _ = run(tmp_path / "cut", SOME_LOST)
    # two sites alone, pooled; two rounds of both sites for each of two ways, the first round of which is shared
    assert len(calls) == 3 + 2 * 2 + 2 + 2
    assert resumed == straight
    _, said = run(tmp_path / "cut", SOME_LOST)
    assert len(calls) == 11 and "steps" not in said
    assert not (tmp_path / "cut/cache/adapters").exists()


def server(folder: Path, *changes: str) -> federated.Server:
    study = open_workspace(recipe(*changes), folder, Console(quiet=True))
    study.model = {"weights": "toy"}
    return federated.Server(study, federated._receive(study, 0), 0, 0.01)


@pytest.mark.parametrize("head", [False, True])
def test_one_round_averages_what_each_site_alone_would_have_learnt(head: bool, tmp_path: Path) -> None:
    """Against adapters and heads trained one by one on fresh models, averaged by numpy with the texts' counts."""
    own = server(tmp_path, SOME_LOST, *(["training.read_layer=1", "score.tasks=localise"] if head else []))
    counts = [len(site.examples) for site in own.sites]
    assert 0 < counts[0] < counts[1] == 8
    factors, _ = own.rounds(1, "average")
    wanted: dict[str, np.ndarray] = {}
    for site, count in zip(own.sites, counts, strict=True):
        loaded = attach(load_model("toy"), "lora", AdapterSettings(**own.settings["adapter"]))
        finetune(loaded, site.examples, TrainSettings(**own.settings["training"]))
        trained = [(name, value) for name, value in loaded.model.named_parameters() if "lora_" in name]
        trained += [] if loaded.head is None else list(loaded.head.named_parameters())
        for name, parameter in trained:
            part = parameter.detach().numpy() * (count / sum(counts))
            wanted[name] = wanted.get(name, 0) + part
    found = {
        f"{layer}.lora_{which}.default.weight": value.numpy()
        for which, some in zip("AB", factors[:2], strict=True)
        for layer, value in some.items()
    } | {name: value.numpy() for name, value in factors.head.items()}
    assert found.keys() == wanted.keys()
    # seven matrices in each of two blocks; a head behind the first block leaves the second as it is
    assert len(wanted) == (2 * 7 + 2 if head else 2 * 7 * 2)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)
        assert np.abs(value).max() > 0 or name == "bias"  # one bias for all lines of a text moves no choice among them


def test_the_untrained_model_is_scored_without_the_head(tmp_path: Path) -> None:
    """A head at zero says the same of every line; the untrained model is judged by its likelihoods, head or not."""
    head = ["training.read_layer=1", "score.tasks=localise", "training.steps=1"]
    with_head, _ = run(tmp_path / "head", ONE_HEARS, *head, rounds=(1,))
    without, _ = run(tmp_path / "none", ONE_HEARS, *head[1:], rounds=(1,))
    assert scores(with_head, "untrained") == scores(without, "untrained")
    assert scores(with_head, "untrained")[0]["delivered"]


def test_the_second_round_starts_from_the_servers_adapter(tmp_path: Path) -> None:
    own = server(tmp_path, SOME_LOST)
    seen = []

    def watched(loaded: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(federated.factors_of(loaded))
        return finetune(loaded, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetuning, "finetune", watched)
        first = own.merged(own.initial, own.start, own.steps(2)[0], 0, "least-squares", "first")
        own.rounds(2, "least-squares")
    assert len(seen) == 4  # the first round is not trained again
    for layer, value in first.a.items():
        assert (seen[0][1][layer] == 0).all() and (seen[0][0][layer] == seen[1][0][layer]).all()
        for a, b, _ in seen[2:]:
            assert (a[layer] == value).all() and (b[layer] == first.b[layer]).all()


@pytest.mark.parametrize(("steps", "count", "wanted"), [(7, 5, [2, 2, 1, 1, 1]), (4, 1, [4]), (5, 5, [1] * 5)])
def test_rounds_divide_the_steps(steps: int, count: int, wanted: list[int], tmp_path: Path) -> None:
    study = open_workspace(recipe(f"training.steps={steps}"), tmp_path, Console(quiet=True))
    assert federated.Server(study, [], 0, 0.01).steps(count) == wanted


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        (["training.methods=full"], {}, r"'training.methods' must be one of lora, qlora in a federation"),
        (["training.methods=['lora', 'qlora']"], {}, r"\(got \['lora', 'qlora'\]\)"),
        (["radio.corrupted_split=both"], {}, "'radio.corrupted_split' must be"),
        (
            ["radio.snr_db=[-8.0, 0.0]"],
            {},
            r"one link for each spreading factor and channel seed \(got 4 links for 2\)",
        ),
        (["corpus.validation_pairs=0"], {}, "'corpus.validation_pairs' must be at least 1"),
        (["score.tasks=repair"], {}, "must not hold 'repair'"),
        ([], {"rounds": (0,)}, r"'--rounds' must lie in 1…3"),
        ([], {"rounds": (4,)}, r"'--rounds' must lie in 1…3, the steps that they divide \(got \[4\]\)"),
        ([], {"aggregations": ("median",)}, "'--how' must be among average, least-squares, cosine"),
        ([], {"penalty": float("nan")}, "'--penalty' must be at least 0 and finite"),
        (["radio.snr_db=-40.0"], {"rounds": (1,)}, r"nothing arrived at any site \(SF7, SF9\)"),
    ],
)
def test_what_is_no_federation_is_refused(
    changes: list[str], options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=said):
        federated.run_federated(recipe(*changes), tmp_path, **options, console=Console(quiet=True))
    assert not (tmp_path / federated.RESULTS_FILE).exists()


def test_an_adapter_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for content in (b"", b"\0" * 100, b"\x08\0\0\0\0\0\0\0{}      "):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"x.safetensors .*delete it and run again"):
            federated.read_factors(path)
