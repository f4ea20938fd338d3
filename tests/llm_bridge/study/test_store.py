"""Files: whole or not at all, torn lines, locks, seals."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge.study import store
from llm_bridge.study.store import (
    StoreError,
    append_jsonl,
    is_finished,
    locked,
    read_jsonl,
    seal,
    write_atomically,
    write_json,
)


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

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(StoreError, match=r"no space left on the disk while writing .*result.json; nothing was lost"):
        write_json(path, {"new": True})
    rows = tmp_path / "rows.jsonl"
    with pytest.raises(StoreError, match="no space left"):
        append_jsonl(rows, [{"a": 1}])
    monkeypatch.undo()
    assert store.read_json(path) == {"old": True}
    assert read_jsonl(rows) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result.json", "rows.jsonl"]


def test_a_seal_sees_an_edit(tmp_path: Path) -> None:
    cell = tmp_path / "cell"
    write_json(cell / "config.json", {"sf": 7})
    append_jsonl(cell / "items.jsonl", [{"correct": False}])
    assert not is_finished(cell)
    seal(cell, {"rows": []})
    assert is_finished(cell)
    (cell / "items.jsonl").write_text('{"correct":true}\n')
    with pytest.raises(StoreError, match=r"items.jsonl was changed after its result was written"):
        is_finished(cell)


def test_a_seal_sees_an_edited_result(tmp_path: Path) -> None:
    cell = tmp_path / "cell"
    write_json(cell / "config.json", {"sf": 7})
    seal(cell, {"rows": [{"f1": 0.5, "snr_db": float("inf")}]})
    assert is_finished(cell)
    result = cell / "result.json"
    result.write_text(result.read_text().replace("0.5", "0.9"))
    with pytest.raises(StoreError, match=r"result.json was changed after its result was written"):
        is_finished(cell)


def test_a_table_that_was_edited_is_not_written_over(tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    table.write_text("from before tables were noted\n")
    store.write_output(table, "sf,f1\n7,0.5\n")
    store.write_output(table, "sf,f1\n7,0.6\n")
    table.write_text("sf,f1\n7,0.9\n")
    with pytest.raises(StoreError, match=r"results.csv was changed after it was written: move it away"):
        store.write_output(table, "sf,f1\n7,0.6\n")
    assert "0.9" in table.read_text()
    table.unlink()
    store.write_output(table, "sf,f1\n7,0.6\n")
    assert table.read_text() == "sf,f1\n7,0.6\n"


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_table_interrupted_while_written_is_known_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    table = tmp_path / "results.csv"
    store.write_output(table, "old\n")
    real, done = store.write_atomically, []

    def killed(path: Path, text: str) -> None:
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(path)
        real(path, text)

    monkeypatch.setattr(store, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_output(table, "new\n")
    monkeypatch.undo()
    store.write_output(table, "newer\n")
    assert table.read_text() == "newer\n"


def test_an_edited_row_of_a_cached_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "é \ufffd", "holes": ((0, 3),), "score": 0.1}, {"text": "", "holes": (), "score": float("inf")}]
    append_jsonl(path, map(store.signed, rows))
    assert store.verified(path) == [{**row, "holes": [list(hole) for hole in row["holes"]]} for row in rows]
    path.write_text(path.read_text().replace("0.1", "0.9"))
    with pytest.raises(StoreError, match=r"rows.jsonl was changed after it was written"):
        store.verified(path)


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
