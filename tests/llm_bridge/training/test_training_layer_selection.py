"""Layer choice: CKA against its definition, Fisher one example at a time, and the index rules."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from training_texts import examples, toy

from llm_bridge.training import layer_selection
from llm_bridge.training.adapters import attach
from llm_bridge.training.estimate import estimate_memory
from llm_bridge.training.layer_selection import block_states, cka, fisher_scores, select_layers
from llm_bridge.training.methods import AdapterSettings
from llm_bridge.training.models import load_model
from llm_bridge.training.random_model import write_random_model

TEXTS = [row.text for row in examples(8)]


def reference_cka(x: np.ndarray, y: np.ndarray, *, unbiased: bool) -> float:
    """CKA term by term: the sum over ordered tuples of distinct indices that HSIC_1 abbreviates, or traces."""
    k, m = x @ x.T, y @ y.T
    n = len(k)

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        if not unbiased:
            h = np.eye(n) - 1 / n
            return np.trace(a @ h @ b @ h) / (n - 1) ** 2
        # E k(x,x')m(y,y') + E k(x,x') E m(y,y') − 2 E k(x,x') m(y,y''), each by distinct indices only
        distinct = [(i, j) for i in range(n) for j in range(n) if i != j]
        first = np.mean([a[i, j] * b[i, j] for i, j in distinct])
        second = np.mean([a[i, j] * b[q, r] for i, j in distinct for q, r in distinct if len({i, j, q, r}) == 4])
        third = np.mean([a[i, j] * b[i, r] for i, j in distinct for r in range(n) if r not in (i, j)])
        return first + second - 2 * third

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_cka_is_its_definition(estimator: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 5)) + 3.0
    y = x @ rng.standard_normal((5, 4)) + 0.5 * rng.standard_normal((7, 4))
    assert cka(x, y, estimator=estimator) == pytest.approx(
        reference_cka(x, y, unbiased=estimator == "unbiased"), abs=1e-12
    )


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_cka_ignores_rotation_scale_and_shift(estimator: str, kernel: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((20, 8))
    rotation, _ = np.linalg.qr(rng.standard_normal((8, 8)))
    assert cka(x, 3 * x @ rotation + 7, estimator=estimator, kernel=kernel) == pytest.approx(1.0)
    assert cka(x, np.ones((20, 3)), estimator=estimator, kernel=kernel) == 0.0


def test_rbf_cka_is_its_definition_and_sees_what_no_straight_line_does() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((60, 1))
    y = x**2

    def rbf(z: np.ndarray) -> np.ndarray:
        squared = np.array([[float(((a - b) ** 2).sum()) for b in z] for a in z])
        return np.exp(-squared / (2 * np.median(squared[~np.eye(len(z), dtype=bool)])))

    h = np.eye(60) - 1 / 60

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.trace(a @ h @ b @ h))

    k, m = rbf(x), rbf(y)
    expected = hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))
    assert cka(x, y, estimator="biased", kernel="rbf") == pytest.approx(expected, rel=1e-9)
    assert cka(x, y, kernel="rbf") > 3 * abs(cka(x, y))
    assert abs(cka(x, rng.standard_normal((60, 1)), kernel="rbf")) < 0.2


def test_layers_by_the_rbf_kernel_are_recorded_as_such() -> None:
    choice = select_layers("cka", toy(), TEXTS, kernel="rbf", position="mean")
    assert (
        choice.provenance()["details"]["kernel"] == "rbf"
        and choice.scores != select_layers("cka", toy(), TEXTS, position="mean").scores
    )


@pytest.mark.parametrize(("n", "width", "biased"), [(128, 4096, 0.969), (40, 4096, 0.991), (1024, 128, 0.112)])
def test_the_biased_estimator_calls_noise_alike_and_the_unbiased_one_does_not(
    n: int, width: int, biased: float
) -> None:
    """Independent Gaussians: about width / (n + width) in expectation for the biased one, 0 for the other."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, n, width))
    assert cka(x, y, estimator="biased") == pytest.approx(biased, abs=0.005)
    assert abs(cka(x, y)) < 6 / n  # its standard deviation is below 1.5 / n


def test_cka_refuses_what_it_cannot_estimate() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        cka(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"'kernel' must be one of linear, rbf \(got 'cubic'\)"):
        cka(np.ones((5, 2)), np.ones((5, 2)), kernel="cubic")
    with pytest.raises(ValueError, match="'estimator'"):
        cka(np.ones((5, 2)), np.ones((5, 2)), estimator="best")


def test_block_states_are_the_models_hidden_states() -> None:
    loaded = toy()
    states = block_states(loaded, TEXTS, position="last")
    for index, text in enumerate(TEXTS[:4]):
        ids = torch.tensor([[256, *text.encode()]])
        with torch.inference_mode():
            hidden = loaded.model(ids, output_hidden_states=True).hidden_states
        for level in range(2):  # the library's last hidden state comes after the final norm
            assert np.allclose(states[level][index], hidden[level][0, -1].numpy(), atol=1e-5)
        normed = loaded.base.get_decoder().norm(torch.tensor(states[2][index]).float())
        assert np.allclose(normed.detach().numpy(), hidden[2][0, -1].numpy(), atol=1e-4)


def test_the_first_block_is_excluded_where_all_texts_end_alike() -> None:
    """All texts end in a newline: R_0 at the last token is one vector, and 1 − CKA would be 1 for nothing."""
    loaded = toy()
    automatic = select_layers("cka", loaded, TEXTS)
    assert automatic.excluded == (0,) and automatic.layers == (1,) and automatic.scores[0] == 1.0
    assert select_layers("cka", loaded, TEXTS, exclude_first=False).layers == (0,)
    varied = select_layers("cka", loaded, TEXTS, position="mean")
    assert varied.excluded == () and varied.scores[0] < 1.0
    assert select_layers("cka", loaded, TEXTS, position="mean", exclude_first=True).layers == (1,)


def test_nf4_and_full_bases_see_nearly_the_same_layers() -> None:
    full = select_layers("cka", toy(), TEXTS, position="mean").scores
    small = select_layers("cka", toy("zero-shot-nf4"), TEXTS, position="mean").scores
    assert small == pytest.approx(full, abs=0.02)


def test_fisher_is_the_mean_of_squared_gradients_one_text_at_a_time() -> None:
    loaded = toy()
    scores, sizes = fisher_scores(loaded, TEXTS[:3])
    expected = np.zeros(2)
    for text in TEXTS[:3]:
        ids = torch.tensor([[256, *text.encode()]])
        loaded.model.requires_grad_(True)
        loaded.model.zero_grad()
        (loaded.model(ids, labels=ids).loss * (ids.shape[1] - 1)).backward()
        for level, block in enumerate(loaded.model.model.layers):
            expected[level] += sum(float(p.grad.double().square().sum()) for p in block.parameters()) / 3
    assert scores == pytest.approx(expected, rel=1e-4)  # a batch of 3 would give the square of the mean, which is less
    assert sizes.tolist() == [sum(p.numel() for p in block.parameters()) for block in loaded.model.model.layers]


@pytest.mark.parametrize("storage", [None, "zero-shot-nf4"])
def test_fisher_leaves_the_base_as_it_was(storage: str | None) -> None:
    loaded = toy(storage)
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    scores, sizes = fisher_scores(loaded, TEXTS[:2])
    assert (scores > 0).all()
    after = loaded.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert not any(p.requires_grad or p.grad is not None for p in loaded.model.parameters())
    if storage:
        assert sizes.tolist() == [4096.0, 4096.0]  # rank 8 times the output widths of the seven matrices


@pytest.mark.parametrize(
    ("strategy", "expected"), [("first", (0,)), ("last", (1,)), ("bottom_and_last", (1,)), ("all", (0, 1))]
)
def test_index_rules(strategy: str, expected: tuple[int, ...]) -> None:
    assert select_layers(strategy, toy()).layers == expected


def test_bottom_and_last_of_many_blocks() -> None:
    from llm_bridge.training.layer_selection import _by_index

    assert _by_index("bottom_and_last", 32, 16, 0) == (*range(15), 31)


@pytest.fixture(scope="module")
def six_blocks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a random model of six blocks."""
    shape = {
        "model_type": "llama", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 6,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "architectures": ["LlamaForCausalLM"],
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("six")
    (folder / "shape").mkdir()
    (folder / "model").mkdir()
    (folder / "shape" / "config.json").write_text(json.dumps(shape))
    write_random_model(str(folder / "shape"), folder / "model")
    return str(folder / "model")


@pytest.mark.parametrize("storage", ["full", "nf4"])
@pytest.mark.parametrize("strategy", ["cka", "fisher", "random"])
def test_behind_a_head_in_the_middle_no_block_is_chosen(storage: str, strategy: str, six_blocks: str) -> None:
    """Half of the four blocks that the head reads, not of the model's six; and the best by the same scores."""
    base = load_model(six_blocks, storage=storage)
    every = select_layers(strategy, base, TEXTS, num_layers=4)
    method = f"{'qlora' if storage == 'nf4' else 'lora'}-{strategy}"
    loaded = attach(base, method, AdapterSettings(read_layer=4), texts=TEXTS)
    layers = loaded.fingerprint["layers"]
    assert len(layers) == 2 and set(layers) <= {0, 1, 2, 3}
    planned = estimate_memory(six_blocks, method, adapter=AdapterSettings(read_layer=4), device="cpu").num_trainable
    of_head = sum(parameter.numel() for parameter in loaded.head.parameters())
    assert loaded.fingerprint["num_trainable"] - of_head == planned == 2 * 8 * (4 * 2 * 32 + 3 * (32 + 64))
    if strategy == "random":
        assert layers == sorted(np.random.default_rng(0).choice(4, size=2, replace=False).tolist())
    else:
        assert layers == sorted([block for block in every.order if block < 4][:2])


@pytest.mark.parametrize("strategy", ["cka", "fisher"])
def test_blocks_behind_the_head_are_not_chosen_though_their_scores_are_the_largest(
    strategy: str, six_blocks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = iter(np.linspace(0.9, 0.4, 6))  # each block changes its input more than the one before
    monkeypatch.setattr(layer_selection, "cka", lambda a, b, **_: float(next(alike)))
    monkeypatch.setattr(layer_selection, "fisher_scores", lambda *_, **__: (np.arange(1.0, 7.0), np.ones(6)))
    base = load_model(six_blocks)
    assert select_layers(strategy, base, TEXTS, blocks=4).layers == (2, 3)
    with pytest.raises(ValueError, match=r"'blocks' must lie in 1\.\.\.6.*got 7"):
        select_layers(strategy, base, TEXTS, blocks=7)


def test_random_depends_on_the_seed_alone() -> None:
    loaded = toy()
    picks = {select_layers("random", loaded, num_layers=1, seed=seed).layers for seed in range(20)}
    assert picks == {(0,), (1,)}
    assert select_layers("random", loaded, seed=3) == select_layers("random", loaded, seed=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "best"}, "'strategy' must be one of"),
        ({"strategy": "cka", "texts": TEXTS[:3]}, "needs at least 4 distinct texts"),
        ({"strategy": "cka", "texts": [TEXTS[0]] * 9}, r"\(got 1\)"),
        ({"strategy": "fisher"}, "needs at least 1"),
        ({"strategy": "cka", "texts": TEXTS, "position": "cls"}, "'position' must be one of"),
        ({"strategy": "cka", "texts": TEXTS, "exclude_first": "maybe"}, "'exclude_first'"),
        ({"strategy": "first", "num_layers": 3}, r"1...2 \(got 3"),
    ],
)
def test_bad_choices_are_named(options: dict[str, object], message: str) -> None:
    options = {"texts": (), **options}
    with pytest.raises(ValueError, match=message):
        select_layers(options.pop("strategy"), toy(), options.pop("texts"), **options)
