"""Memory plans: sizes that are published, parts that are arithmetic, and the refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_texts import toy

from llm_bridge.training.estimate import (
    KNOWN_SHAPES,
    ModelDoesNotFitError,
    estimate_memory,
    render_estimate,
    require_fit,
)
from llm_bridge.training.fetching import ModelDownloadError, ModelError
from llm_bridge.training.methods import AdapterSettings

LLAMA = "meta-llama/Meta-Llama-3-8B"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        (LLAMA, 8_030_261_248),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("meta-llama/Llama-3.2-3B", 3_212_749_824),
        ("meta-llama/Meta-Llama-3-70B", 70_553_706_496),
        ("smollm2-135m-instruct", 134_515_008),
    ],
)
def test_the_shapes_have_the_published_number_of_parameters(name: str, count: int) -> None:
    plan = estimate_memory(name, "zero-shot", device="cuda")
    assert plan.num_parameters == count and plan.architecture == "LlamaForCausalLM"
    assert dict(plan.parts)["weights"] == 2 * count
    assert plan.num_trainable == 0


@pytest.mark.parametrize("rank", [8, 16, 64, 128])
def test_adapters_of_the_8b_model_have_2621440_weights_a_rank(rank: int) -> None:
    plan = estimate_memory(LLAMA, "qlora", adapter=AdapterSettings(rank=rank), device="cuda")
    assert plan.num_trainable == 2_621_440 * rank
    half = estimate_memory(LLAMA, "qlora-cka", adapter=AdapterSettings(rank=rank), device="cuda")
    assert half.num_trainable == plan.num_trainable // 2


def test_the_8b_plans_are_what_is_known_of_them() -> None:
    """16 bytes a parameter for full fine-tuning in float32; about 8 GB for the 4-bit base with a float32 head."""
    full = dict(estimate_memory(LLAMA, "full", device="cuda").parts)
    assert full["weights"] + full["gradients"] + full["optimiser"] == 16 * 8_030_261_248
    saving = estimate_memory(LLAMA, "full", device="cuda", dtype="bfloat16", optimiser="paged_adamw_8bit")
    assert 45e9 < sum(size for name, size in saving.parts if name in ("weights", "gradients", "optimiser")) < 50e9
    small = estimate_memory(LLAMA, "qlora", device="cuda", gradient_checkpointing=True)
    assert 7e9 < dict(small.parts)["weights"] < 8e9 and sum(size for _, size in small.parts) < 12e9


@pytest.mark.parametrize(("read_layer", "bad", "most"), [(None, 30, 29), (20, 20, 19)])
def test_layers_that_the_model_or_its_head_does_not_have_are_named_before_any_work(
    read_layer: int | None, bad: int, most: int
) -> None:
    adapter = AdapterSettings(layers=(3, bad), read_layer=read_layer)
    with pytest.raises(ModelError, match=rf"'layers' must lie in 0\.\.\.{most} \(got \[{bad}\]\)"):
        estimate_memory("smollm2-135m-instruct", "lora", adapter=adapter, device="cpu")


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("lora", {"read_layer": 99}, r"'read_layer' must lie in 1\.\.\.30, the model's blocks \(got 99\)"),
        ("lora-cka", {"read_layer": 1}, r"number of layers must lie in 1\.\.\.1 \(got 0, from ratio 0\.5\)"),
        ("lora-random", {"read_layer": 20, "num_layers": 25}, r"number of layers must lie in 1\.\.\.20 \(got 25"),
    ],
)
def test_a_choice_of_layers_that_cannot_be_is_named_before_any_work(
    method: str, settings: dict[str, int], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        estimate_memory("smollm2-135m-instruct", method, adapter=AdapterSettings(**settings), device="cpu")


def test_the_toys_plan_counts_what_the_toy_has() -> None:
    for method in ("lora", "full"):
        plan = estimate_memory("toy", method, device="cpu")
        loaded = toy(method)
        assert plan.num_trainable == loaded.fingerprint["num_trainable"]
        assert plan.num_parameters == 90_624


def test_what_does_not_fit_is_refused_with_advice_and_what_fits_is_not() -> None:
    plan = replace(estimate_memory(LLAMA, "full", device="cuda"), available=24e9)
    assert plan.fits is False and "does NOT fit" in render_estimate(plan)
    with pytest.raises(ModelDoesNotFitError, match=r"needs about .* GB on the cuda, and 24.0 GB are free; try .*qlora"):
        require_fit(plan)
    small = replace(estimate_memory(LLAMA, "qlora", device="cuda", gradient_checkpointing=True), available=24e9)
    require_fit(small)
    assert small.fits and "fits" in render_estimate(small)
    unknown = replace(plan, available=None)
    require_fit(unknown)
    assert unknown.fits is None and "not known" in render_estimate(unknown)
    assert issubclass(ModelDoesNotFitError, ModelError)


def test_a_distilled_4_bit_model_needs_room_for_its_teacher_first() -> None:
    kept = {"line": 1.0, "likelihood": 0.3}
    distilled, alone = (
        estimate_memory(LLAMA, "qlora", device="cuda", gradient_checkpointing=True, objectives=o)
        for o in ({"distil": 1.0}, kept)
    )
    assert alone.teacher == 0 and alone.total == sum(size for _, size in alone.parts) < 13e9
    assert distilled.parts == alone.parts and distilled.total == distilled.teacher > 2 * 8_030_261_248
    assert estimate_memory(LLAMA, "lora", device="cuda").teacher == 0  # it is its own teacher
    with pytest.raises(ModelDoesNotFitError, match='try the objective "likelihood" in place of "distil"'):
        require_fit(replace(distilled, available=16e9))
    require_fit(replace(alone, available=16e9))


def test_the_vocabulary_is_paid_for_where_an_objective_asks_for_it() -> None:
    head = {
        name: dict(estimate_memory(LLAMA, "lora", device="cuda", objectives={name: 1.0}).parts)["head"]
        for name in ("line", "likelihood")
    }
    assert head == {"line": 2 * 512 * 128_256 * 4, "likelihood": 3 * 1024 * 128_256 * 4}


def test_nothing_is_loaded_for_a_plan() -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    estimate_memory("meta-llama/Meta-Llama-3-70B", "qlora", device="cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes: of 140 GB of weights


def test_the_free_memory_of_this_machine_is_known_on_linux() -> None:
    plan = estimate_memory("toy", "lora", device="cpu")
    assert plan.available is None or plan.available > 1e8
    assert plan.dtype == "float32"


def test_every_known_shape_makes_a_model() -> None:
    for name in KNOWN_SHAPES:
        assert estimate_memory(name, "lora", device="cpu").num_trainable > 0
    assert torch.tensor(0).device.type == "cpu", "the meta device was left again"


def test_an_unknown_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(ModelDownloadError, match=r"no configuration of 'no/such' can be read"):
        estimate_memory("no/such", "lora", device="cpu")


def test_a_device_that_cannot_be_planned_for_is_named() -> None:
    with pytest.raises(ModelError, match=r"'device' must be cpu or cuda \(got 'mps'\)"):
        estimate_memory("toy", "lora", device="mps")
