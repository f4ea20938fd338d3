"""Files of a study, and of a user's corpus, are not believed (`fuzzing`): corpora, caches, cells, published results.

Rows that carry a digest come back as they were written, or not at all; "signed again" stands for a forger who knows
the digest: then types and ranges are what protects.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fuzzing import BY_DEFAULT, IN_ALL, Reader, fuzz
from synthetic_study import make_study

from llm_bridge import files, results_format
from llm_bridge.corpora import minibugs, own_corpus
from llm_bridge.corpora.programs import normalise
from llm_bridge.link import Link
from llm_bridge.report import write_report
from llm_bridge.report.channel import read_channel, residual_table
from llm_bridge.report.results import load_study
from llm_bridge.scoring.text_scores import TextScores
from llm_bridge.study.cache import Cache
from llm_bridge.study.cells import links
from llm_bridge.study.channel import channel_row
from llm_bridge.study.federated import _whole_items
from llm_bridge.study.model_runs import ModelRun
from llm_bridge.study.provenance import _file_sha256, _remembered
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.study.transmission import items_of, transmit_items
from lora_phy import ChannelParams, LinkPoint, LoRaParams, collect, load_results
from lora_phy.monte_carlo.results_file import _signed

STORE = (files.StoreError, OSError)
SCORES = TextScores(
    num_tokens=3, sum_nll=4.5, mean_nll=1.5, line_nll=(1.0, 3.5), line_verdict=(0.25, -1.0), none_verdict=0.5,
    program_verdict=-0.5,
)  # fmt: skip
CELL_FILES = ("config.json", "provenance.json", "result.json", "items.jsonl", "example.json")


def signed_again(line: bytes) -> bytes:
    row = json.loads(line)
    row.pop("digest", None)
    try:
        return files.canonical_json(files.signed(row)).encode()
    except UnicodeEncodeError:  # half of a surrogate pair cannot be signed
        return line


def own(path: Path) -> Any:
    pairs = own_corpus.load(path)
    for pair in pairs:
        assert normalise(pair.buggy) == pair.buggy != pair.correct == normalise(pair.correct)
        assert pair.gold_lines and all(1 <= line <= len(pair.buggy.splitlines()) for line in pair.gold_lines)
    assert len({pair.name for pair in pairs}) == len(pairs) > 0
    assert len(own_corpus.content_hash(pairs)) == 8
    return pairs


def _readers(folder: Path) -> list[Reader]:
    recipe = load_recipe("toy", ["radio.snr_db=-8.0", "radio.fading=none"])
    link: Link = next(link for link in links(recipe) if link)
    items, radio = items_of(minibugs.load()[:1]), recipe.radio.settings_of(link)
    received = transmit_items(items, radio, Cache(folder / "cache"))
    [sent] = (folder / "cache/links").iterdir()

    def in_cache(kind: str, name: str, read: Callable[[Cache], Any]) -> Callable[[Path], Any]:
        def reader(path: Path) -> Any:
            cache = Cache(path.parent / "cache")
            place = cache.directory / kind / name
            place.parent.mkdir(parents=True)
            path.replace(place)
            return read(cache)

        return reader

    def arrivals(cache: Cache) -> Any:
        return dict(enumerate(transmit_items(items, radio, cache)))

    def federated(cache: Cache) -> Any:
        rows = cache.get_or_make("federated", "x", lambda: [], read=_whole_items, write=list)
        return dict(enumerate(rows))

    def model(cache: Cache) -> ModelRun:
        return ModelRun(cache=cache, recipe=recipe, method="zero-shot", seed=None)

    key = model(Cache(folder)).key
    texts = {"a": SCORES, "b": SCORES}
    scores = [files.signed({"text_sha256": text, "scores": asdict(found)}) for text, found in texts.items()]

    def parts(cache: Cache) -> Any:
        found = model(cache)._parts(["x"], ["x"])
        assert found == [["x"]]
        return found

    def record(cache: Cache) -> Any:
        return (model(cache).record.get("training") or {}).get("status")

    study = make_study(
        folder / "study", spreading_factors=(7,), axes=("fixed_snr",), methods=("zero-shot", "qlora"), num_programs=3,
        with_clean=False,
    )  # fmt: skip
    cell = next(path for path in results_format.cell_dirs(study) if "qlora" in path.name)
    files.write_json(cell / "example.json", {"program": "f", "sent": "a b", "received": "a", "holes": [[1, 3]]})
    seal(cell)
    write_report(study)
    published = folder / "published"
    published.mkdir()
    for name in ("results.csv", "items.jsonl"):
        shutil.copy(study / name, published / name)
        (study / name).unlink()
    (study / "report.html").unlink()
    files.write_json(published / "recipe.json", {"name": "x", "model": {"name": "toy"}, "radio": {}})

    def in_study(name: str) -> Callable[[Path], Any]:
        def reader(path: Path) -> Any:
            content = path.read_bytes()
            shutil.copytree(study, path.parent / "study")
            (path.parent / "study" / cell.name / name).write_bytes(content)
            if name != "result.json":
                seal(path.parent / "study" / cell.name)
            return whole_study(path.parent / "study")

        return reader

    def in_published(name: str) -> Callable[[Path], Any]:
        def reader(path: Path) -> Any:
            content = path.read_bytes()
            shutil.copytree(published, path.parent / "study")
            (path.parent / "study" / name).write_bytes(content)
            return whole_study(path.parent / "study")

        return reader

    def failures(path: Path) -> Any:
        path.replace(path.parent / results_format.FAILURES_FILE)
        return results_format.failure_sentences(path.parent)

    def channel(path: Path) -> Any:
        path.replace(path.parent / results_format.CHANNEL_TABLE)
        return residual_table(read_channel(path.parent))

    def results(path: Path) -> Any:
        for result in load_results(path):
            assert 0 <= result.counts.frame_errors <= result.counts.frames <= 600

    def hashes(path: Path) -> Any:
        target = path.parent / "target"
        target.write_bytes(b"x")
        assert len(_file_sha256(target, _remembered(path))) == 64

    row = channel_row(link, received, 0.01)
    row |= {"corpus": "minibugs", "within_dwell_time": True}
    point = LinkPoint(LoRaParams(sf=7), ChannelParams(snr_db=-9.0), 16, sync="perfect", decoding="hard")
    collect([point], max_frames=600, max_errors=None, seed=1, engine="bins", save_to=folder / "results.jsonl")
    lines = (folder / "results.jsonl").read_bytes()
    failure = {"method": "lora", "train_seed": 0, "training_link": None, "reason": "no", "cells": ["a"]}
    served = [files.signed(row) for row in ({"validation_f1": 0.5, "distance": None}, {"task": "paired", "f1": 1})]
    as_lines = "".join(files.canonical_json(row) + "\n" for row in served).encode()
    scored = "".join(files.canonical_json(row) + "\n" for row in scores).encode()
    known = in_cache("scores", f"{key}.jsonl", lambda cache: model(cache).known_scores())
    stamp = json.dumps({"/a/model.safetensors": [1, 2, "0" * 64]}).encode()
    return [
        Reader("own corpus", own_corpus.template().encode(), own, (own_corpus.CorpusError,), kind="lines"),
        Reader("links", sent.read_bytes(), in_cache("links", sent.name, arrivals), STORE, kind="lines", protected=True),
        Reader("links, signed again", sent.read_bytes(), in_cache("links", sent.name, arrivals), STORE, kind="lines",
               resigned=signed_again),
        Reader("scores", scored, known, STORE, kind="lines", protected=True),
        Reader("scores, signed again", scored, known, STORE, kind="lines", resigned=signed_again),
        Reader("plan of scores", b'[["a", "b"], ["c"]]', in_cache("scores", f"{key}.plan.json", parts), STORE),
        Reader("record", b'{"fingerprint": {"name": "toy"}, "training": {"status": "finished"}}',
               in_cache("models", f"{key}/record.json", record), STORE),
        Reader("federated", as_lines, in_cache("federated", "x.jsonl", federated), STORE, kind="lines",
               protected=True),
        *(Reader(f"cell, {name}", (cell / name).read_bytes(), in_study(name), STORE,
                 kind="lines" if name.endswith("l") else "json") for name in CELL_FILES),
        Reader("results.csv", (published / "results.csv").read_bytes(), in_published("results.csv"), STORE,
               kind="bytes"),
        Reader("items.jsonl", (published / "items.jsonl").read_bytes(), in_published("items.jsonl"), STORE,
               kind="lines"),
        Reader("recipe.json", (published / "recipe.json").read_bytes(), in_published("recipe.json"), STORE),
        Reader("failures", json.dumps([failure]).encode(), failures, STORE),
        Reader("channel.csv", files.csv_text(results_format.CHANNEL_COLUMNS, [row]).encode(), channel, STORE,
               kind="bytes"),
        Reader("load_results", lines, results, kind="lines"),
        Reader("load_results, signed again", lines, results, kind="lines",
               resigned=lambda line: _signed(line)[:-1] if line.endswith(b"}") else line),
        Reader("hashes of files", stamp, hashes, ()),
    ]  # fmt: skip


def seal(cell: Path) -> None:
    """Seal a cell again, as whoever changed a file on purpose would."""
    result = json.loads((cell / "result.json").read_text())
    result.pop("sealed", None)
    (cell / "result.json").unlink()
    results_format.finalise(cell, result)


def whole_study(folder: Path) -> Any:
    study = load_study(folder)
    for point in study.points:
        if point.f1 is not None:
            assert 0 <= point.f1 <= 1 and point.num_programs >= 0
    return study


NAMES = (
    "own corpus", "links", "links, signed again", "scores", "scores, signed again", "plan of scores", "record",
    "federated", *(f"cell, {name}" for name in CELL_FILES), "results.csv", "items.jsonl", "recipe.json", "failures",
    "channel.csv", "load_results", "load_results, signed again", "hashes of files",
)  # fmt: skip


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    found = {reader.name: reader for reader in _readers(tmp_path_factory.mktemp("whole"))}
    assert tuple(found) == NAMES
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_file_is_read(name: str, readers: dict[str, Reader], tmp_path: Path) -> None:
    path = tmp_path / f"file{readers[name].suffix}"
    path.write_bytes(readers[name].content)
    readers[name].read(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_rightly_or_refused(name: str, readers: dict[str, Reader], tmp_path: Path) -> None:
    fuzz(readers[name], tmp_path / "box", BY_DEFAULT)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_damaged_files(name: str, readers: dict[str, Reader], tmp_path: Path) -> None:
    fuzz(readers[name], tmp_path / "box", -(-IN_ALL // len(NAMES)))
