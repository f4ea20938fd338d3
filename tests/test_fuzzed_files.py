"""Every file that is read back is not believed: damaged in any way, it is read rightly or refused in one line.

    a file as we write it ─► flip · cut · insert · retype · nest · empty ─► its reader ─► the right value, or an error
                                                                            of the reader's own; never a traceback

By default a few inputs for each reader; ``pytest -m slow`` (``make slow``) runs 100,000 in all. What is protected by a
checksum must come back as it was written, or not at all.
"""

from __future__ import annotations

import io
import json
import warnings
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import BY_DEFAULT, IN_ALL, Reader, fuzz

from llm_bridge import files, results_format
from llm_bridge.corpora import corpus_cache, quixbugs
from llm_bridge.corpora.programs import ProgramPair, TestSuite
from llm_bridge.scoring._isolation import wire
from llm_bridge.study.recipe_files import load_recipe, recipes_dir
from llm_bridge.training.model_checks import safetensors_problem
from lora_phy import LoRaParams, collect, read_recording, transmit
from lora_phy.monte_carlo.points import LinkPoint
from lora_phy.monte_carlo.results_file import ResultsFile, _signed, result_id
from lora_phy.recordings import write_sigmf
from lora_phy.studies import tables

POINT = LinkPoint(LoRaParams(sf=7), -9.0, 16, sync="perfect", decoding="hard")
PAIR = {
    "name": "f", "buggy": "def f():\n    return 1\n", "correct": "def f():\n    return 2\n", "docstring": "",
    "buggy_line": 2, "corpus": "c", "group": "f", "defect_class": None,
}  # fmt: skip


def _readers(folder: Path) -> list[Reader]:
    iq = transmit(b"x", LoRaParams(sf=5))
    write_sigmf(folder / "r", iq, LoRaParams(sf=5))
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(125_000)
        file.writeframes(np.zeros((200, 2), "<i2").tobytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect([POINT], max_frames=600, max_errors=None, seed=1, engine="bins", save_to=folder / "results.jsonl")
    identity = result_id(POINT, "bins", 1)

    def blocks(path: Path) -> Any:
        with ResultsFile(path) as found:
            kept = found.blocks(identity)
        for (_, frames), result in kept.items():
            assert 0 <= result.counts.frame_errors <= frames == result.counts.frames
            assert all(0 <= index < frames for index in result.failed)
        return kept

    def cached(path: Path) -> Any:
        made = (ProgramPair(**{**PAIR, "name": "made anew", "tests": TestSuite()}),)
        place = corpus_cache.folder
        corpus_cache.folder = lambda: path.parent
        try:
            path.replace(path.parent / f"c-{corpus_cache._key([], [])}.json")
            found = corpus_cache.cached("c", settings=[], files=[], make=lambda: list(made))
        finally:
            corpus_cache.folder = place
        assert found == made or all(isinstance(pair.buggy, str) for pair in found)
        return found

    def sigmf(path: Path) -> Any:
        path.with_suffix(".sigmf-data").write_bytes(iq.tobytes())
        return read_recording(path).sample_rate_hz

    def raw(path: Path) -> Any:
        return read_recording(path, sample_format="cf32", sample_rate_hz=1e6).iq.size

    def node(path: Path) -> Any:
        return quixbugs._jsonl_helpers(path, "from node import Node\n")

    def cell(path: Path) -> Any:
        (path.parent / "result.json").write_bytes(path.read_bytes())
        return results_format.is_finished(path.parent)

    def table(read: Callable[[str], Any]) -> Callable[[Path], Any]:
        return lambda path: read(path.read_text(encoding="utf-8"))

    program = {**PAIR, "tests": [[[1], 2]], "compare": "equal", "skip": [], "test_module": None}
    rows = [files.signed({"a": 1, "b": [1.5, "x"]}), files.signed({"a": None})]
    own = (files.StoreError, OSError)
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(8)
    return [
        Reader("sigmf", (folder / "r.sigmf-meta").read_bytes(), sigmf, suffix=".sigmf-meta"),
        Reader("wav", sound.getvalue(), lambda path: read_recording(path).iq.size, suffix=".wav", kind="bytes"),
        Reader("raw", iq.tobytes()[:400], raw, suffix=".cf32", kind="bytes"),
        Reader("results", (folder / "results.jsonl").read_bytes(), blocks, kind="lines", protected=True),
        Reader("results, signed again", (folder / "results.jsonl").read_bytes(), blocks, kind="lines",
               resigned=lambda line: _signed(line)[:-1] if line.endswith(b"}") else line),
        Reader("rows", "".join(files.canonical_json(row) + "\n" for row in rows).encode(), files.verified, own,
               kind="lines"),
        Reader("object", b'{"a": [1, {"b": "c"}]}', files.read_json, own),
        Reader("cell", b'{"f1": 0.5, "sealed": {"a.json": "00"}}', cell, own),
        Reader("recipe", (recipes_dir() / "toy.toml").read_bytes(), load_recipe, suffix=".toml", kind="bytes"),
        Reader("corpus cache", json.dumps([PAIR]).encode(), cached),
        Reader("helpers", b'{"node.py": "class Node: pass"}', node),
        Reader("quixbugs", (json.dumps(program) + "\n").encode(), quixbugs.load, kind="lines"),
        Reader("safetensors", weights, safetensors_problem, (), kind="bytes"),
        Reader("table, JSON", tables.to_json(tables.Table(columns=("sf",), rows=((7,),), provenance={"a": 1})).encode(),
               table(tables.from_json)),
        Reader("table, CSV", tables.to_csv(tables.Table(columns=("sf",), rows=((7,),), provenance={"a": 1})).encode(),
               table(tables.from_csv), kind="bytes"),
        Reader("answer of a program", wire.pack(wire.encode({"a": (1, {2}, b"3")}))[wire.HEADER.size:],
               lambda path: wire.decode(wire.unpack(path.read_bytes()), max_hashed=10), (wire.WireError,)),
    ]  # fmt: skip


NAMES = (
    "sigmf", "wav", "raw", "results", "results, signed again", "rows", "object", "cell", "recipe", "corpus cache",
    "helpers", "quixbugs", "safetensors", "table, JSON", "table, CSV", "answer of a program",
)  # fmt: skip


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    found = {reader.name: reader for reader in _readers(tmp_path_factory.mktemp("whole"))}
    assert set(found) == set(NAMES)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_rightly_or_refused(name: str, readers: dict[str, Reader], tmp_path: Path) -> None:
    fuzz(readers[name], tmp_path / "box", BY_DEFAULT)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_damaged_files(name: str, readers: dict[str, Reader], tmp_path: Path) -> None:
    fuzz(readers[name], tmp_path / "box", -(-IN_ALL // len(NAMES)))


def test_the_fuzzer_finds_a_reader_that_believes_its_file(readers: dict[str, Reader], tmp_path: Path) -> None:
    """The check can fail: a reader without care is caught."""
    careless = replace(readers["object"], read=lambda path: json.loads(path.read_bytes())["a"][0] + 1, errors=())
    with pytest.raises(BaseException):  # noqa: B017 - a group of whatever it raised
        fuzz(careless, tmp_path / "box", 50)
