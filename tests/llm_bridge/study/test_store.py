"""Files: whole or not at all, torn lines, locks, seals."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge import files
from llm_bridge.files import StoreError, append_jsonl, read_json, read_jsonl, write_atomically, write_json
from llm_bridge.results_format import finalise, is_finished
from llm_bridge.study.cache import locked


@given(st.integers(0, 200))
def test_a_torn_last_line_is_ignored_and_then_overwritten(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    rows = [{"n": n, "text": "é\n" * n} for n in range(6)]
    append_jsonl(path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    kept = read_jsonl(path)
    assert kept == rows[: len(kept)]
    append_jsonl(path, [{"n": "new"}])
    assert read_jsonl(path) == [*kept, {"n": "new"}]


def test_a_damaged_line_in_the_middle_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a":1}\nbroken\n{"a":2}\n')
    with pytest.raises(StoreError, match="line 2"):
        read_jsonl(path)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"old": True})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreError, match=r"no space left on the disk while writing .*result.json; nothing was lost"):
        write_json(path, {"new": True})
    rows = tmp_path / "rows.jsonl"
    with pytest.raises(StoreError, match="no space left"):
        append_jsonl(rows, [{"a": 1}])
    monkeypatch.undo()
    assert files.read_json(path) == {"old": True}
    assert read_jsonl(rows) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result.json", "rows.jsonl"]


def test_a_seal_sees_an_edit(tmp_path: Path) -> None:
    cell = tmp_path / "cell"
    write_json(cell / "config.json", {"sf": 7})
    append_jsonl(cell / "items.jsonl", [{"correct": False}])
    assert not is_finished(cell)
    finalise(cell, {"rows": []})
    assert is_finished(cell)
    (cell / "items.jsonl").write_text('{"correct":true}\n')
    with pytest.raises(StoreError, match=r"items.jsonl was changed after its result was written"):
        is_finished(cell)


def test_a_seal_sees_an_edited_result(tmp_path: Path) -> None:
    cell = tmp_path / "cell"
    write_json(cell / "config.json", {"sf": 7})
    finalise(cell, {"rows": [{"f1": 0.5, "snr_db": float("inf")}]})
    assert is_finished(cell)
    result = cell / "result.json"
    result.write_text(result.read_text().replace("0.5", "0.9"))
    with pytest.raises(StoreError, match=r"result.json was changed after its result was written"):
        is_finished(cell)


def test_an_edited_row_of_a_cached_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "é \ufffd", "holes": ((0, 3),), "score": 0.1}, {"text": "", "holes": (), "score": float("inf")}]
    append_jsonl(path, map(files.signed, rows))
    assert files.verified(path) == [{**row, "holes": [list(hole) for hole in row["holes"]]} for row in rows]
    path.write_text(path.read_text().replace("0.1", "0.9"))
    with pytest.raises(StoreError, match=r"rows.jsonl was changed after it was written"):
        files.verified(path)


def _hold(directory: Path, ready: multiprocessing.synchronize.Event, stop: multiprocessing.synchronize.Event) -> None:
    with locked(directory):
        ready.set()
        stop.wait(30)


def test_a_second_run_into_one_folder_is_refused(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, stop))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(StoreError, match=rf"in use by process {holder.pid}"), locked(tmp_path):
        pass
    holder.kill()  # the lock goes with the process, however that ends
    holder.join()
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises((StoreError, OSError), match="file"):
        write_atomically(blocked / "result.json", "{}")


def test_json_with_half_a_character_is_refused_and_a_whole_pair_is_read(tmp_path: Path) -> None:
    """A lone surrogate has no UTF-8 form; two escapes that make one character have."""
    path = tmp_path / "config.json"
    path.write_text(r'{"name": "\ud83d\ude00"}')
    assert read_json(path) == {"name": "\U0001f600"}
    path.write_text(r'{"name": "\ud800"}')
    with pytest.raises(StoreError, match=r"config\.json is not JSON"):
        read_json(path)
