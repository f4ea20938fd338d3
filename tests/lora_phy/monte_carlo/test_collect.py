"""`collect`: the same numbers whatever the workers, the order and the interruptions; the file; the stopping rules."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context

import pytest

from lora_phy.channel import ChannelParams
from lora_phy.monte_carlo import collect as monte_carlo
from lora_phy.monte_carlo import results_file as results
from lora_phy.monte_carlo.collect import collect
from lora_phy.monte_carlo.frame_blocks import replay_frame
from lora_phy.monte_carlo.points import LinkPoint
from lora_phy.params import LoRaParams


def points(*snrs_db, cr=4):
    return [LinkPoint(LoRaParams(sf=7, cr=cr), snr, 16, sync="perfect", decoding="hard") for snr in snrs_db]


RULES = {"max_frames": 2050, "max_errors": 90, "seed": 5, "engine": "bins"}
POINTS = points(-11.0, -10.0, -9.0, -7.0)


@pytest.fixture(scope="module")
def straight():
    return collect(POINTS, **RULES)


class Shuffled(Executor):
    """Runs tasks here, but finishes them in a random order."""

    def __init__(self, seed):
        self.rng, self._max_workers, self.waiting = random.Random(seed), 5, []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.waiting.append((future, fn, args, kwargs))
        if len(self.waiting) >= 10 or self.rng.random() < 0.2:
            self.run_one()
        return future

    def run_one(self):
        future, fn, args, kwargs = self.waiting.pop(self.rng.randrange(len(self.waiting)))
        if not future.cancelled():
            future.set_result(fn(*args, **kwargs))


def test_stopping_rules(straight):
    for result in straight:
        counts = result.counts
        assert counts.frames == 2050 or counts.frame_errors >= 90
        assert counts.frames % 200 == 0 or counts.frames == 2050
    assert straight[0].counts.frames == 200  # many errors
    assert straight[3].counts.frames == 2050  # few
    exact = collect(POINTS[:1], max_frames=130, max_errors=10**9, seed=5, engine="bins")[0].counts
    assert exact.frames == 130
    assert collect(POINTS[:1], max_frames=0, max_errors=1, seed=5, engine="bins")[0].counts.frames == 0
    assert collect([], **RULES) == []
    # the shortest prefix: without its last block the rule is not met
    middle = straight[2].counts
    shorter = collect(POINTS[2:3], max_frames=middle.frames - 200, max_errors=None, seed=5, engine="bins")[0].counts
    assert shorter.frame_errors < 90 <= middle.frame_errors or middle.frames == 2050


def test_stop_on_the_width_of_the_interval():
    result = collect(points(-10.0), max_frames=10**5, max_relative_width=0.3, seed=1, engine="order-statistics")[0]
    low, high = result.counts.interval()
    assert high - low <= 0.3 * result.counts.per
    fewer = collect(
        points(-10.0), max_frames=result.counts.frames - 200, max_relative_width=0.3, seed=1, engine="order-statistics"
    )[0].counts
    low, high = fewer.interval()
    assert high - low > 0.3 * fewer.per


def test_importance_stops_on_relative_error():
    (result,) = collect(points(-6.0), max_frames=10**6, seed=1, engine="importance", max_relative_error=0.08)
    assert 0.07 < result.counts.relative_error <= 0.08
    assert 3e-9 < result.counts.per < 5e-9
    assert result.engine == "importance"


@pytest.mark.parametrize("seed", [1, 2])
def test_order_does_not_matter(straight, seed, monkeypatch):
    shuffled = Shuffled(seed)
    wait = monte_carlo.wait

    def waiting(pending, return_when):
        while not any(future.done() for future in pending):
            shuffled.run_one()
        return wait(pending, return_when=return_when)

    monkeypatch.setattr(monte_carlo, "wait", waiting)
    assert collect(POINTS, executor=shuffled, **RULES) == straight


def test_pools(straight):
    with ThreadPoolExecutor(3) as pool:
        assert collect(POINTS, executor=pool, **RULES) == straight
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert collect(POINTS, executor=pool, **RULES) == straight


def test_the_file_is_the_resume_file(straight, tmp_path):
    path = tmp_path / "new folder" / "results.jsonl"
    assert collect(POINTS[:2], save_to=path, **RULES) == straight[:2]
    before = path.read_bytes()
    assert collect(POINTS, save_to=path, **RULES) == straight
    assert path.read_bytes().startswith(before)  # append only
    full = path.read_bytes()
    assert collect(POINTS, save_to=path, **RULES) == straight
    assert path.read_bytes() == full  # nothing was missing, nothing was added
    # more frames: only what is missing is simulated (the cut last block among it)
    more = collect(POINTS[3:], save_to=path, **{**RULES, "max_frames": 2600})[0]
    added = [json.loads(line) for line in path.read_bytes()[len(full) :].splitlines()]
    assert [(line["block"], line["frames"]) for line in added] == [(10, 200), (11, 200), (12, 200)]
    assert more == collect(POINTS[3:], **{**RULES, "max_frames": 2600})[0]
    # another seed, engine or simulator shares the file and nothing else
    other = collect(POINTS[:1], save_to=path, **{**RULES, "seed": 6})
    assert other == collect(POINTS[:1], **{**RULES, "seed": 6})


def test_the_version_is_part_of_the_identity(monkeypatch):
    old = results.result_id(POINTS[0], "bins", 1)
    assert old == results.result_id(replace(POINTS[0]), "bins", 1)
    assert old != results.result_id(POINTS[0], "waveform", 1)
    assert old != results.result_id(POINTS[0], "bins", 2)
    monkeypatch.setattr(results, "LINK_VERSION", 10**6)
    assert old != results.result_id(POINTS[0], "bins", 1)


def test_any_torn_end_is_ignored(straight, tmp_path):
    path = tmp_path / "results.jsonl"
    collect(POINTS, save_to=path, **RULES)
    whole = path.read_bytes()
    for cut in (1, 2, 17, 60, 200, len(whole) // 2, len(whole) - 3, len(whole)):
        path.write_bytes(whole[:-cut])
        assert collect(POINTS, save_to=path, **RULES) == straight, cut
        assert path.read_bytes().startswith(whole[:-cut])
        assert collect(POINTS, save_to=path, **RULES) == straight
    path.write_bytes(b'{"no": 1}\nnull\n[1]\n\xff\n{"id": 3, "block": "x"}\n' + whole[:-3])
    assert collect(POINTS, save_to=path, **RULES) == straight


def _forged(line: bytes, **changes) -> bytes:
    """A line with other values and a check that is right for them: what plausibility alone must find."""
    record = {**json.loads(line), **changes}
    del record["check"]
    body = json.dumps(record)
    return f'{body[:-1]}, "check": "{hashlib.sha256(body.encode()).hexdigest()[:16]}"}}'.encode()


@pytest.mark.filterwarnings("ignore:.*are no records")
def test_a_results_file_is_not_believed(straight, tmp_path):
    """Every line is replaced by one that no simulation writes: nothing of it reaches a number."""
    path = tmp_path / "results.jsonl"
    collect(POINTS[:1], save_to=path, **RULES)
    header, *blocks = path.read_bytes().splitlines()
    first = json.loads(blocks[0])
    frames, errors = first["counts"][:2]
    bad = [
        {"counts": [frames, -50, 0, 0, 0, 0, 0]}, {"counts": [frames, frames + 1, 0, 0, 0, 0, 0]},
        {"counts": [frames, errors, errors + 1, 0, 0, 0, 0]}, {"counts": [True, True, 0, 0, 0, 0, 0]},
        {"counts": [frames, 0.0, 0, 0, 0, 0, 0]}, {"counts": [frames + 1, 0, 0, 0, 0, 0, 0]},
        {"counts": [0, 0, 0, 0, 0, 0, 0], "frames": 0}, {"counts": [frames]}, {"counts": {"frames": 1}},
        {"block": -1}, {"block": True}, {"block": 0.0}, {"frames": "200"}, {"failed": [frames]}, {"failed": [3, 3]},
        {"failed": list(range(frames))}, {"failed": 7}, {"id": 3}, {"id": None},
        {"weights": [1.0, 1.0]}, {"weights": [float("inf"), 1.0]}, {"weights": [-1.0, 1.0]}, {"weights": [1.0]},
    ]  # fmt: skip
    for changes in bad:
        path.write_bytes(b"\n".join([header, *(_forged(line, **changes) for line in blocks)]) + b"\n")
        assert collect(POINTS[:1], save_to=path, **RULES) == straight[:1], changes
    raw = [
        blocks[0].replace(str(errors).encode(), b"0", 1), blocks[0][:-3] + b'0"}', b'{"id": 1e999}', b"[" * 100_000,
        b'{"a":' * 50_000, b'{"id": "x", "block": 1e999, "frames": 1, "counts": []}', b"\0" * 100, b'"\\ud800"',
        json.dumps({key: value for key, value in first.items() if key != "check"}).encode(),  # as before this version
    ]  # fmt: skip
    path.write_bytes(b"\n".join([header, *raw]) + b"\n")
    with pytest.warns(UserWarning, match=rf"results\.jsonl: {len(raw)} lines are no records"):
        assert collect(POINTS[:1], save_to=path, **RULES) == straight[:1]


def test_two_different_lines_for_one_block_are_both_ignored(straight, tmp_path):
    path = tmp_path / "results.jsonl"
    collect(POINTS[:1], save_to=path, **RULES)
    header, first, *rest = path.read_bytes().splitlines()
    other = _forged(first, counts=[json.loads(first)["frames"], 0, 0, 0, 0, 0, 0], failed=[])
    for lines in ([other, first], [first, other], [first, other, first]):
        path.write_bytes(b"\n".join([header, *lines, *rest]) + b"\n")
        with pytest.warns(UserWarning, match="1 lines are no records"):
            assert collect(POINTS[:1], save_to=path, **RULES) == straight[:1]
    path.write_bytes(b"\n".join([header, first, first, *rest]) + b"\n")  # said twice is no contradiction
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert collect(POINTS[:1], save_to=path, **RULES) == straight[:1]


def test_an_unusable_path_is_said_before_the_work_starts(tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("work was started")

    monkeypatch.setattr(monte_carlo, "simulate_blocks", never)
    (tmp_path / "file").write_text("")
    bad = [tmp_path, tmp_path / "file" / "below"]
    if os.path.exists("/dev/full"):
        bad.append("/dev/full")
    read_only = tmp_path / "read-only.jsonl"
    read_only.write_text("")
    read_only.chmod(0o400)
    if not os.access(read_only, os.W_OK):  # root may write anything
        bad.append(read_only)
    for path in bad:
        with pytest.raises(OSError):
            collect(POINTS, save_to=path, **RULES)


def test_bad_arguments():
    for bad in (
        {"max_frames": -1},
        {"max_errors": 0},
        {"seed": 1.5},
        {"engine": "none"},
        {"max_relative_width": 0.0},
        {"max_relative_error": -1.0},
    ):
        with pytest.raises(ValueError, match=next(iter(bad))):
            collect(POINTS, **{**RULES, **bad})
    with pytest.raises(ValueError, match="'points' must hold LinkPoint"):
        collect([3], **RULES)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="sync"):
        collect([LinkPoint(LoRaParams(sf=7), -9.0, 16)], **RULES)


def test_progress_and_what_is_not_part_of_a_result(straight, capsys):
    seen = []
    again = collect(POINTS, progress=seen.append, **RULES)
    assert again == straight
    assert seen[0].frames == 0 and seen[-1].points_done == 4
    assert all(a.frames <= b.frames for a, b in pairwise(seen))
    assert seen[-1].remaining_s == 0.0 and seen[-1].frames_per_s > 0
    slower = replace(straight[0], wall_time_s=99.0)
    assert slower == straight[0] and "wall" not in repr(slower)
    collect(POINTS[:1], progress=True, **RULES)
    assert "Traceback" not in capsys.readouterr().err


def test_failed_frames_can_be_replayed(straight):
    result = straight[2]
    assert 0 < len(result.failed_frames) <= 16
    for frame in result.failed_frames[:4]:
        record = replay_frame(result.point, frame, seed=result.seed, engine=result.engine)
        assert not record.ok


def test_a_real_receiver(tmp_path):
    channel = ChannelParams(snr_db=10.0, cfo_hz=700.0, sto_samples=0.3)
    dead = ChannelParams(snr_db=-25.0)
    good, bad = collect(
        [LinkPoint(LoRaParams(sf=7, cr=4), c, 8) for c in (channel, dead)], max_frames=5, max_errors=None, seed=1
    )
    assert good.counts.frames == 5 and good.counts.frame_errors == 0
    assert bad.counts.frames == bad.counts.frame_errors == 5
    assert bad.counts.missed >= 4
    assert not replay_frame(bad.point, bad.failed_frames[0], seed=1).ok


_SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from test_collect import points, collect
collect(points(-9.0, -8.5), max_frames=60_000, max_errors=None, seed=7, engine="order-statistics", save_to={path!r})
print("finished")
"""


def test_kill_9_and_go_on(tmp_path):
    """Killed at several moments, then finished: the numbers of a run that was never disturbed."""
    path = tmp_path / "results.jsonl"
    command = [sys.executable, "-c", _SCRIPT.format(folder=os.path.dirname(__file__), path=str(path))]
    kills = 0
    for extra in (0.05, 0.2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        size = path.stat().st_size if path.exists() else 0
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if path.exists() and path.stat().st_size > size + 2000:  # it is working: strike
                time.sleep(extra)
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.01)
        process.wait()
    assert kills >= 1
    rules = {"max_frames": 60_000, "max_errors": None, "seed": 7, "engine": "order-statistics"}
    partial = path.read_bytes()
    assert collect(points(-9.0, -8.5), save_to=path, **rules) == collect(points(-9.0, -8.5), **rules)
    assert path.read_bytes().startswith(partial)


@pytest.mark.slow
def test_dask_cluster_that_loses_a_worker():
    """Two worker processes, one killed in mid-run: dask sends its tasks to the other, and nothing else changes."""
    distributed = pytest.importorskip("distributed")
    rules = {"max_frames": 100_000, "max_errors": None, "seed": 8, "engine": "bins"}
    expected = collect(points(-9.0, -8.5), **rules)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        victim = next(iter(client.run(os.getpid).values()))
        calls = []

        def strike(progress):
            calls.append(progress)
            if len(calls) == 8:
                os.kill(victim, signal.SIGKILL)

        found = collect(points(-9.0, -8.5), executor=client.get_executor(), progress=strike, **rules)
        assert len(calls) > 8
        assert victim not in client.run(os.getpid).values()
    assert found == expected


def test_a_script_without_the_main_guard_is_told_so(tmp_path):
    """Processes that are spawned import the script, which then starts processes: the error names what is missing."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "from lora_phy import LinkPoint, LoRaParams, collect\n"
        "point = LinkPoint(LoRaParams(sf=7), -8.0, 4, sync='perfect', decoding='hard')\n"
        "with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:\n"
        "    collect([point], max_frames=10, seed=1, engine='bins', executor=pool)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "BrokenProcessPool" in last and 'if __name__ == "__main__":' in last


def test_a_process_pool_finds_everything_compiled(tmp_path):
    """With an empty cache, what the points need is compiled before the processes start, and said once."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "from lora_phy import LinkPoint, LoRaParams, collect\n"
        "def compiled(_):\n"
        "    from lora_phy.kernels.coding import frame_nibbles\n"
        "    return sum(frame_nibbles.stats.cache_misses.values())\n"
        "if __name__ == '__main__':\n"
        "    point = LinkPoint(LoRaParams(sf=7), -8.0, 4, sync='perfect', decoding='hard')\n"
        "    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn')) as pool:\n"
        "        collect([point], max_frames=4000, seed=1, engine='bins', executor=pool)\n"
        "        print(list(pool.map(compiled, range(4))), compiled(0))\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=200, env=environment)
    assert done.stdout == "[0, 0, 0, 0] 1\n", done.stderr
    assert done.stderr.count("compiling the coding chain") == 1
