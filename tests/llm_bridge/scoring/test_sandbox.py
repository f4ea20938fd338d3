"""What `run_tests` promises to honest programs: verdicts, counts, values, isolation; and upstream's outcomes."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile_programs import attack, descendants, emulated, missing, world
from hypothesis import given, settings
from hypothesis import strategies as st
from more_hostile_programs import MORE

from llm_bridge.corpora.programs import ProgramPair, TestSuite, entry_point
from llm_bridge.scoring import sandbox
from llm_bridge.scoring._isolation import compare, landlock, paths, process, seccomp, wire
from llm_bridge.scoring._isolation.process import LEVELS, CageError, Job
from llm_bridge.scoring.sandbox import run_tests

ROOT = Path(__file__).resolve().parents[3]
LINUX = sys.platform == "linux"


@pytest.fixture(autouse=True)
def strong_enough(request: pytest.FixtureRequest) -> None:
    if "level" not in request.fixturenames and sandbox.isolation_level() == LEVELS[-1]:
        pytest.skip("this machine has neither namespaces nor Landlock")


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each isolation that this machine has, in turn."""
    if missing(request.param):
        pytest.skip(missing(request.param))
    monkeypatch.setattr(sandbox, "isolation_level", lambda: request.param)
    return request.param


def run(source: str, entry_point: str, tests, **options) -> sandbox.TestOutcome:
    return run_tests(textwrap.dedent(source), entry_point, tests, allow_weak_isolation=True, **options)


# ── verdicts and counts ─────────────────────────────────────────────────────────────────────────────────────────────


def test_each_case_is_judged_on_its_own_at_every_isolation(level: str) -> None:
    source = """
        import os
        def f(kind):
            if kind == "hang":
                while True: pass
            if kind == "die":
                os._exit(0)
            if kind == "raise":
                raise ValueError
            return kind
    """
    kinds = ["right", "hang", "right", "die", "wrong", "raise", "right"]
    outcome = run(source, "f", [[[kind], "right"] for kind in kinds], time_limit_s=0.5)
    assert outcome.cases == ("pass", "timeout", "pass", "crash", "fail", "fail", "pass")
    assert (outcome.passed, outcome.failed, outcome.skipped) == (3, 4, 0)
    assert (outcome.verdict, outcome.isolation) == ("timeout", level)


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("return x", "pass"),
        ("return None", "fail"),
        ("raise SystemExit(0)", "fail"),
        ("raise KeyboardInterrupt", "fail"),
        ("return f(x)", "fail"),
        ("import os; os._exit(0)", "crash"),
        ("import ctypes; ctypes.string_at(0)", "crash"),
        ("print('x' * (3 << 20)); return x", "crash"),
        ("print('x' * 1000); return x", "pass"),
        ("input(); return x", "fail"),
    ],
)
def test_verdict_of_one_case(body: str, verdict: str) -> None:
    outcome = run_tests(f"def f(x): {body}\n", "f", [[[1], 1]])
    assert outcome.verdict == verdict
    assert (outcome.passed, outcome.failed) == ((1, 0) if verdict == "pass" else (0, 1))


@pytest.mark.parametrize(
    "source", ["def f(x: return x", "raise OSError\ndef f(x): return x", "g = 1", "f = 1", "\0", ""]
)
def test_a_program_that_cannot_be_loaded_fails_every_case(source: str) -> None:
    outcome = run_tests(source, "f", [[[1], 1], [[2], 2]])
    assert (outcome.verdict, outcome.passed, outcome.failed) == ("fail", 0, 2)


@pytest.mark.parametrize(("source", "verdict"), [("while True: pass", "timeout"), ("import os; os._exit(0)", "crash")])
def test_an_import_that_never_ends_costs_one_limit_not_one_for_each_case(source: str, verdict: str) -> None:
    start = time.monotonic()
    outcome = run_tests(source, "f", [[[1], 1]] * 50, time_limit_s=0.5)
    assert (outcome.verdict, outcome.failed) == (verdict, 50)
    assert time.monotonic() - start < 20


def test_nothing_to_run_is_no_pass() -> None:
    source = "def f(x): return x\n"
    assert run_tests(source, "f", []).verdict == "no_tests"
    skipped = run_tests(source, "f", TestSuite(cases=(([1], 1),), skip=(0,)))
    assert (skipped.verdict, skipped.skipped, skipped.passed) == ("no_tests", 1, 0)
    assert run_tests(source, "f", TestSuite(test_module="x = 1\n")).verdict == "no_tests"


def test_skipped_cases_do_not_run_and_do_not_count() -> None:
    suite = TestSuite(cases=(([1], 1), ([0], 0), ([2], 2)), skip=(1,))
    outcome = run_tests("def f(x): return 1 // x * x\n", "f", suite)
    assert (outcome.cases, outcome.verdict) == (
        ("pass", "skip", "pass") if 1 // 2 else ("pass", "skip", "fail"),
        "fail",
    )
    outcome = run_tests("def f(x):\n    assert x\n    return x\n", "f", suite)
    assert (outcome.cases, outcome.verdict, outcome.skipped) == (("pass", "skip", "pass"), "pass", 1)


def test_bad_parameters_name_themselves() -> None:
    good = "def f(x): return x\n"
    for limit in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"time_limit_s.*{limit}"):
            run_tests(good, "f", [[[1], 1]], time_limit_s=limit)
    with pytest.raises(ValueError, match=r"entry_point.*'f; x'"):
        run_tests(good, "f; x", [[[1], 1]])
    with pytest.raises(ValueError, match="source"):
        run_tests(b"def f(x): return x", "f", [[[1], 1]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tests\[1\]"):
        run_tests(good, "f", [[[1], 1], [[1], 1, 1]])
    with pytest.raises(ValueError, match=r"tests\[0\].*object"):
        run_tests(good, "f", [[[object()], 1]])
    with pytest.raises(ValueError, match=r"helpers.*\.\./x\.py"):
        run_tests(good, "f", TestSuite(cases=(([1], 1),), helpers={"../x.py": ""}))
    for module in ("def (", "x = '\0'", "-" * 200_000 + "1", "x = '\ud800'"):
        with pytest.raises(ValueError, match=r"test_module.*must be a Python module"):
            run_tests(good, "f", TestSuite(test_module=module))


def test_names_are_read_as_python_reads_them() -> None:
    """PEP 3131: identifiers are compared in Unicode's normal form NFKC; the micro sign is the Greek letter mu there."""
    source = "def \N{MICRO SIGN}(x): return x + 1\n"
    assert run_tests(source, "\N{MICRO SIGN}", [[[1], 2], [[1], 1]]).cases == ("pass", "fail")
    module = "from \N{MICRO SIGN} import \N{MICRO SIGN}\ndef test(): assert \N{MICRO SIGN}(1) == 2\n"
    assert run_tests(source, "\N{MICRO SIGN}", TestSuite(test_module=module)).verdict == "pass"
    with pytest.raises(ValueError, match=r"entry_point.*'token'"):  # full-width letters
        run_tests(source, "\uff54\uff4f\uff4b\uff45\uff4e", TestSuite(test_module=module))


def _pair(name: str, *, function: str = "f", **tests) -> ProgramPair:
    texts = {"buggy": f"def {function}(x):\n    return x\n", "correct": f"def {function}(x):\n    return x + 1\n"}
    suite = TestSuite(**tests)
    return ProgramPair(
        name=name, docstring="", buggy_line=2, tests=suite, corpus="mine", group=name, defect_class=None, **texts
    )


def test_suites_that_would_be_refused_are_found_before_any_work() -> None:
    module = "from prog import f\ndef test(): assert f(1) == 2\n"
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    pairs = [
        _pair("good", cases=(([1], 2),)),
        _pair("prog", test_module=module),
        _pair("token", test_module=module),
        _pair("conftest", test_module=module),
        _pair("torn", test_module="def ("),
        _pair("deep", cases=(([deep], 2),)),
        _pair("shadowed", cases=(([1], 2),), helpers={"inspect.py": ""}),
    ]
    problems = sandbox.suite_problems(pairs)
    assert [problem.split("'")[1] for problem in problems] == ["token", "conftest", "torn", "deep", "shadowed"]
    for pair in pairs:  # the same as when they are run
        refused = pair.name in ("token", "conftest", "torn", "deep", "shadowed")
        with pytest.raises(ValueError) if refused else contextlib.nullcontext():
            assert run_tests(pair.correct, entry_point(pair), pair.tests).verdict == "pass"


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "value",
    [
        None, True, -7, 10**400, -(2**53), 0.1, -0.0, float("inf"), 2 + 3j, "", "é\ud800\0", b"\x00\xff",
        [1, [2, []]], (1, (2,)), {1, 2}, frozenset({"a"}), {"a": {1: (2, [3])}, (1, 2): None}, [[]] * 3,
    ],
)  # fmt: skip
def test_plain_values_come_back_as_they_are(value: object) -> None:
    outcome = run_tests("def f(x): return x\n", "f", [[[value], value]])
    assert outcome.verdict == "pass"


@pytest.mark.parametrize(
    ("expression", "expected", "verdict"),
    [
        ("float('nan')", float("nan"), "fail"),  # as == says
        ("1", True, "pass"),
        ("1.0", 1, "pass"),
        ("(1, 2)", [1, 2], "fail"),
        ("range(3)", [0, 1, 2], "fail"),
        ("(i for i in range(3))", [0, 1, 2], "pass"),
        ("iter([1])", [1], "fail"),
        ("__import__('collections').Counter('aab')", {"a": 2, "b": 1}, "pass"),
        ("__import__('collections').OrderedDict(a=1)", {"a": 1}, "pass"),
        ("__import__('collections').namedtuple('P', 'x y')(1, 2)", (1, 2), "pass"),
        ("__import__('enum').IntEnum('E', 'A').A", 1, "pass"),
        ("__import__('fractions').Fraction(1)", 1, "fail"),  # not plain data
        ("{i: i for i in range(100)}", {0: 0}, "fail"),
        ("'x' * 5_000_000", "x", "fail"),
    ],
)
def test_results_are_compared_by_equality(expression: str, expected: object, verdict: str) -> None:
    assert run_tests(f"def f(): return {expression}\n", "f", [[[], expected]]).verdict == verdict


def test_arguments_are_the_programs_own_copy() -> None:
    shared = [3, 1, 2]
    tests = [[[shared], 6], [[shared], 6]]
    outcome = run_tests("def f(x):\n    total = sum(x)\n    x.clear()\n    return total\n", "f", tests)
    assert outcome.verdict == "pass"
    assert shared == [3, 1, 2]


def test_a_single_argument_may_stand_unwrapped() -> None:
    assert run_tests("def f(x): return x + 1\n", "f", [[1, 2], ["", 0]]).cases == ("pass", "fail")


def test_comparisons_of_a_suite() -> None:
    def verdict(source: str, **suite) -> str:
        return run_tests(source, "f", TestSuite(**suite)).verdict

    counting = "def f(n):\n    yield from range(n)\n"
    assert verdict(counting, cases=(([3], [0, 1, 2]),), compare="list") == "pass"
    assert verdict("def f(n): return range(n)\n", cases=(([3], [0, 1, 2]),), compare="list") == "pass"
    assert verdict(counting, cases=(([3], [0, 1, 2]),)) == "fail"  # a generator equals no list
    assert verdict("def f(n): return n\n", cases=(([3], [3]),), compare="list") == "fail"
    pairs = "def f(): return [(1, 2)]\n"
    assert verdict(pairs, cases=(([], [[1, 2]]),), compare="tuples") == "pass"
    assert verdict(pairs, cases=(([], [[1, 2]]),)) == "fail"
    near = "def f(x, e): return x\n"
    assert verdict(near, cases=(([1.5, 0.25], 1.25),), compare="approx_last_argument") == "pass"
    assert verdict(near, cases=(([1.5, 0.25], 1.2),), compare="approx_last_argument") == "fail"
    huge = "def f(x, e): return 10 ** 1000\n"
    assert verdict(huge, cases=(([1.5, 0.25], 1.2),), compare="approx_last_argument") == "fail"
    assert verdict("def f(x, e): return 'a'\n", cases=(([1, 1], 1),), compare="approx_last_argument") == "fail"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3)
    | st.sets(st.integers(), max_size=3) | st.frozensets(st.text(), max_size=3),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=40)
@given(plain)
def test_wire_brings_plain_values_through(value: object) -> None:
    frame = wire.pack(wire.encode(value, strict=True))
    back = wire.decode(wire.unpack(frame[wire.HEADER.size :]))
    assert back == value
    assert repr(back) == repr(value) or isinstance(value, (set, frozenset, dict, list, tuple))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["t", "s", "z", "d", "i", "b", "c", "o", "x"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(json_like)
def test_wire_decodes_anything_to_builtins_or_refuses(value: object) -> None:
    try:
        result = wire.decode(value, max_hashed=3)
    except wire.WireError:
        return
    builtin = (type(None), bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, wire.Opaque)
    assert type(result) in builtin


def test_wire_never_fills_a_large_hash_table_that_cannot_be_equal() -> None:
    colliding = {"s": [{"i": hex(number * (2**61 - 1))} for number in range(200_000)]}
    start = time.monotonic()
    assert wire.decode(colliding, max_hashed=wire.largest_hashed([{1, 2}, {}])) is wire.OPAQUE
    assert time.monotonic() - start < 1
    assert wire.OPAQUE != wire.OPAQUE and not (wire.OPAQUE == 1)


def test_subclasses_travel_as_their_content() -> None:
    pair = namedtuple("pair", "a b")(1, 2)
    assert wire.decode(wire.encode([pair, Counter("a"), OrderedDict(b=1)])) == [(1, 2), {"a": 1}, {"b": 1}]
    assert type(wire.decode(wire.encode(pair))) is tuple


# ── pytest modules ──────────────────────────────────────────────────────────────────────────────────────────────────

MODULE = """
import pytest
from helper import ONE
from prog import prog

@pytest.fixture
def two():
    return prog(ONE)

def test_plain(two):
    assert two == 2

@pytest.mark.parametrize("x", [1, 2, 3])
def test_many(x):
    assert prog(x) == x + 1

class TestMore:
    def test_in_class(self):
        assert prog(5) == 6

@pytest.mark.skip(reason="slow")
def test_slow():
    assert False
"""


def test_pytest_module_with_helper_fixture_parameters_class_and_skip(level: str) -> None:
    suite = TestSuite(test_module=MODULE, helpers={"helper.py": "ONE = 1\n"})
    outcome = run("def prog(x): return x + 1\n", "prog", suite)
    assert (outcome.passed, outcome.failed, outcome.skipped, outcome.verdict) == (5, 0, 1, "pass")
    outcome = run("def prog(x): return 2 if x == 1 else x\n", "prog", suite)
    assert (outcome.passed, outcome.failed, outcome.skipped, outcome.verdict) == (2, 3, 1, "fail")


def test_pytest_module_counts_go_on_after_a_hang_and_a_crash() -> None:
    module = "from prog import prog\n" + "".join(f"def test_{x}():\n    assert prog({x}) == {x}\n" for x in range(4))
    source = "import os\ndef prog(x):\n    while x == 1: pass\n    if x == 2: os._exit(0)\n    return x\n"
    outcome = run_tests(source, "prog", TestSuite(test_module=module), time_limit_s=2)
    assert (outcome.cases, outcome.verdict) == (("pass", "timeout", "crash", "pass"), "timeout")


def test_pytest_module_whose_program_does_not_load_fails_every_test() -> None:
    module = "from prog import prog\ndef test_a(): pass\ndef test_b(): pass\n"
    outcome = run_tests("def prog(", "prog", TestSuite(test_module=module))
    assert (outcome.verdict, outcome.failed) == ("fail", 2)


# ── isolation ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_strongest_isolation_is_taken_and_the_weak_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    class Broken:
        def __init__(self, job: Job) -> None:
            tried.append(job.level)

        def __enter__(self) -> None:
            if tried[-1] in broken:
                raise CageError(tried[-1])

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(sandbox, "Child", Broken)
    monkeypatch.setattr(sys, "platform", "linux")
    fresh = sandbox.isolation_level.__wrapped__
    broken: set[str] = set()
    assert fresh() == "namespaces" and tried == ["namespaces"]
    broken = {"namespaces"}
    assert fresh() == "landlock+seccomp"
    broken = {"namespaces", "landlock+seccomp"}
    assert fresh() == "rlimits"
    monkeypatch.setattr(sandbox, "isolation_level", fresh)
    tried.clear()
    outcome = run_tests("def f(x): return x\n", "f", [[[1], 1]])
    assert (outcome.verdict, outcome.isolation, outcome.passed, outcome.failed) == ("refused", "rlimits", 0, 0)
    assert "rlimits" not in tried  # the program has not run
    with pytest.raises(sandbox.IsolationError, match=r"namespaces; landlock\+seccomp"):  # what each of them said
        sandbox.require_isolation()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(sandbox, "_REFUSALS", {})
    with pytest.raises(sandbox.IsolationError, match="takes Linux, and this is darwin"):
        sandbox.require_isolation()


@pytest.mark.skipif(not LINUX, reason="reads Linux's view of a process")
def test_what_the_program_sees(level: str) -> None:
    source = """
        import os, resource, sys
        def f():
            limits = [resource.getrlimit(number)[1] for number in (resource.RLIMIT_AS, resource.RLIMIT_NPROC)]
            own_session = os.getsid(0) == os.getpid()
            return [dict(os.environ), os.getuid(), own_session, limits, sys.stdin.read(), sys.flags.no_site]
    """
    seen: list[object] = []

    class Spy:
        def __eq__(self, other: object) -> bool:
            seen.append(other)
            return True

    assert run(source, "f", [[[], Spy()]]).verdict == "pass"
    environment, uid, own_session, limits, stdin, no_site = seen[0]  # type: ignore[misc]
    assert (environment, own_session, stdin, no_site) == ({}, True, "", 1)
    assert limits[0] <= 512 << 20
    # threads: where the kernel counts those of all of a user's processes, 64 more than there are
    of_a_user = level == LEVELS[-1] or (level != "namespaces" and os.geteuid() != 0)
    assert 64 <= limits[1] <= 64 + (_threads_of_the_machine() if of_a_user else 0)
    if level != LEVELS[-1]:
        assert uid != 0


def _threads_of_the_machine() -> int:
    """Number of all threads, and some for those that come and go."""
    return sum(len(list(tasks.iterdir())) for tasks in Path("/proc").glob("[0-9]*/task") if tasks.exists()) + 50


THREADED = """
import threading, time
threading.stack_size(32768)
def take(number):
    started = 0
    try:
        for _ in range(number):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    return started
"""


@pytest.mark.parametrize("label", ["namespaces", "namespaces, root without a user namespace", "landlock+seccomp"])
def test_a_program_that_takes_all_threads_leaves_the_next_cage_its_own(label: str) -> None:
    if missing(label):
        pytest.skip(missing(label))
    if os.geteuid() != 0 and label != "namespaces":
        pytest.skip("one user's threads are counted together: docs/explanation/untrusted-programs.md")
    with emulated(label) as level, process.Child(Job(level=level, entry_point="take", cpu_s=60)) as other:
        assert other.ask({"load": THREADED}, 10)["loaded"]
        assert other.ask({"call": [1000], "consume": ""}, 10)["value"] == 63  # 64 with the first one
        assert run_tests(THREADED, "take", [[[8], 8]]).verdict == "pass"


@pytest.mark.skipif(not LINUX or os.geteuid() != 0, reason="changes the user id, which takes root")
def test_threads_that_a_user_has_already_do_not_count() -> None:
    """As on any desktop: a program with threads is judged by what it returns, not by what else is running."""
    code = f"""
        import os, threading, time
        os.setgroups([]); os.setresgid(4242, 4242, 4242); os.setresuid(4242, 4242, 4242)
        threading.stack_size(32768)
        for _ in range(100):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        from llm_bridge.scoring import sandbox
        for level in sandbox.LEVELS[:2]:
            sandbox.isolation_level = lambda level=level: level
            try:
                print(level, sandbox.run_tests({THREADED!r}, "take", [[[8], 8], [[1000], 0]]).cases)
            except RuntimeError as error:
                print(level, "missing", error)
        os._exit(0)
    """
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [_public_interpreter(), "-c", textwrap.dedent(code)],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and any("missing" not in line for line in lines), done.stderr
    assert all(line.endswith("('pass', 'fail')") or "missing" in line for line in lines), lines


def test_a_private_interpreter_and_a_private_umask_are_no_obstacle(level: str, monkeypatch) -> None:
    """As root, the worker is another user: it reads files that were made, or lie, where only root may read."""
    before = os.umask(0o077)
    try:
        outcome = run("def f(x):\n    import wave\n    return x\n", "f", [[[1], 1]])
        module = TestSuite(test_module="from prog import prog\ndef test(): assert prog(1) == 1\n")
        assert (outcome.verdict, run("def prog(x): return x", "prog", module).verdict) == ("pass", "pass")
        monkeypatch.setattr(paths, "open_to_all", lambda *_, **__: False)
        assert run("def f(x):\n    import wave\n    return x\n", "f", [[[1], 1]]).verdict == "pass"
    finally:
        os.umask(before)


def test_private_root_shows_no_more_than_the_system() -> None:
    if sandbox.isolation_level() != "namespaces":
        pytest.skip("no namespaces on this machine")
    source = "import os\ndef f(names): return [n for n in os.listdir('/') if n not in names]\n"
    own = {path.split("/")[1] for path in (*paths.needs().library, *paths.needs().shared)}
    test = [[sorted(own | {"tmp", "dev", "etc"})], []]
    with emulated("namespaces, no Landlock"):  # which would not let the root be listed
        assert run_tests(source, "f", [test]).verdict == "pass"


@pytest.mark.skipif(not LINUX, reason="needs /proc and a subreaper")
def test_nothing_is_left_by_a_right_program_that_leaves_things(level: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(process.tempfile, "tempdir", str(tmp_path))
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us
    before = descendants()
    source = """
        import os, threading, time
        threading.Thread(target=lambda: time.sleep(600)).start()
        try:
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(600)
                os._exit(0)
        except OSError:
            pass
        try:
            open("left", "w").write("x")
        except OSError:
            pass
        def f(x): return x
    """
    try:
        assert run(source, "f", [[[1], 1]]).verdict == "pass"
        assert descendants() - before == set()
        assert list(tmp_path.iterdir()) == []
    finally:
        libc.prctl(36, 0, 0, 0, 0)


@pytest.mark.skipif(not LINUX, reason="needs /proc and a subreaper")
def test_the_cage_dies_with_the_judge(level: str, tmp_path: Path) -> None:
    code = f"""
        from llm_bridge.scoring import sandbox
        sandbox.isolation_level = lambda: {level!r}
        source = "import time\\nprint(0, flush=True)\\ndef f(x): time.sleep(600)"
        sandbox.run_tests(source, "f", [[[1], 1]], allow_weak_isolation=True, time_limit_s=300)
    """
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)
    before = descendants()
    try:
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        judge = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, env=environment)
        try:
            _wait_until(lambda: len(descendants() - before) >= 3)  # judge, keeper, worker
            time.sleep(0.2)
            assert len(list(tmp_path.iterdir())) == 1
        finally:
            judge.kill()
            judge.wait()
        _wait_until(lambda: not {pid for pid in descendants() - before if not _reap(pid)})
        assert list(tmp_path.iterdir()) == []
    finally:
        libc.prctl(36, 0, 0, 0, 0)


def _wait_until(condition, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


def _reap(pid: int) -> bool:
    """Whether `pid` was a dead child of ours, handed over."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def test_many_threads_may_judge_at_once() -> None:
    def judge(number: int) -> bool:
        outcome = run_tests(f"def f(x): return x + {number}\n", "f", [[[1], 1 + number], [[2], 2]])
        return outcome.cases == ("pass", "pass" if number == 0 else "fail")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(judge, range(24)))
    assert threading.active_count() < 8


def test_an_interrupt_of_the_judge_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.tempfile, "tempdir", str(tmp_path))
    before = descendants() if LINUX else set()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_tests("def f(x):\n    while True: pass\n", "f", [[[1], 1]], time_limit_s=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert list(tmp_path.iterdir()) == []
    assert not LINUX or descendants() == before


@pytest.mark.skipif(not LINUX or os.geteuid() != 0, reason="changes the user id, which takes root")
def test_as_an_ordinary_user() -> None:
    """All isolation that root has here is there for anybody, given an interpreter that anybody can read."""
    interpreter = _public_interpreter()
    code = """
        import os, sys
        os.setgroups([]); os.setresgid(4242, 4242, 4242); os.setresuid(4242, 4242, 4242)
        from llm_bridge.scoring import sandbox
        source = "import os\\ndef f(x):\\n    try: os.fork()\\n    except OSError: return x\\n"
        for level in sandbox.LEVELS[:2]:
            sandbox.isolation_level = lambda level=level: level
            try:
                outcome = sandbox.run_tests(source, "f", [[[1], 1], [[2], 2], [[3], 0]])
                print(outcome.isolation, outcome.passed, outcome.failed)
            except RuntimeError as error:
                print(level, "missing", error)
    """
    done = subprocess.run(
        [interpreter, "-c", textwrap.dedent(code)],
        cwd="/",
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert "missing" not in done.stdout or lines[0].startswith("namespaces missing"), done.stdout
    assert "landlock+seccomp 2 1" in lines or "namespaces 2 1" in lines, done.stdout


def _public_interpreter() -> str:
    if not paths.open_to_all(str(ROOT / "llm_bridge" / "scoring" / "sandbox.py")):
        pytest.skip("the checkout lies where other users cannot read it")
    for path in (paths.interpreter(), "/usr/bin/python3", "/usr/local/bin/python3"):
        if os.path.exists(path) and paths.open_to_all(path):
            check = "import sys, ctypes, resource; sys.exit(sys.version_info < (3, 11))"
            if subprocess.run([path, "-c", check], capture_output=True).returncode == 0:
                return path
    pytest.skip("no Python 3.11 that an ordinary user could start")


# ── what the worker is, seen from outside ───────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not LINUX, reason="reads Linux's view of a process")
@pytest.mark.parametrize("private", [False, True])
def test_the_worker_as_the_kernel_sees_it(level: str, private: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody, without capabilities (but to read, where root's interpreter is private), in a user namespace of its own,
    with no file open but its output and the two pipes, on mounts that cannot be written."""
    if level == LEVELS[-1]:
        pytest.skip("rlimits promises none of this")
    private = private or not paths.open_to_all(os.__file__, with_parents=level != "namespaces")
    monkeypatch.setattr(process, "_open_to_all", lambda *_: not private)
    before = descendants()
    with process.Child(Job(level=level, entry_point="f", cpu_s=60)):
        started = descendants() - before
        (worker,) = started - {_parent(pid) for pid in started}
        status = dict(re.findall(r"^(\w+):[ \t]*(.*)$", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE))
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        root = os.geteuid() == 0
        users = set(status["Uid"].split())
        if root and level != "namespaces":  # a user of this cage alone (in a user namespace nobody is that)
            assert len(users) == 1 and int(min(users)) >> 24 == 0xF0
        else:
            assert users == ({"65534"} if root else {str(os.geteuid())})
        assert not root or status["Groups"].strip() == ""
        capabilities = {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")}
        allowed = 1 << 2 if private and root else 0  # CAP_DAC_READ_SEARCH, never CAP_DAC_OVERRIDE
        assert capabilities == {**dict.fromkeys(capabilities, 0), "CapEff": allowed, "CapPrm": allowed} or not root
        if root:
            assert {os.path.basename(path) for path in os.listdir(f"/proc/{worker}/fd")} >= {"0", "1", "2"}
            kinds = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
            assert len(kinds) == 5 and all(kind.startswith(("pipe:", "/dev/null")) for kind in kinds), kinds
        if level == "namespaces" and root:
            chain = [os.readlink(f"/proc/{pid}/ns/user") for pid in (worker, _parent(worker), os.getpid())]
            assert len(set(chain)) == 3  # the worker's, the first process's, the machine's
            mounts = [line.split() for line in Path(f"/proc/{worker}/mountinfo").read_text().splitlines()]
            writable = [fields[4] for fields in mounts if "rw" in fields[5].split(",")]
            assert writable == ["/tmp"]
            places = {fields[4] for fields in mounts}
            assert not places & {"/usr", "/lib", "/lib64", sys.base_prefix, "/proc"}


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of packages beside a standard library of its own, which the judge's children use."""
    library = Path(os.__file__).parent
    copy = tmp_path / "prefix" / "lib" / library.name
    ignored = shutil.ignore_patterns(
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idlelib",
        "ensurepip",
        "__pycache__",
        "config-*",
        "_tkinter*",
    )
    shutil.copytree(library, copy, ignore=ignored, symlinks=True)
    (copy / "site-packages").mkdir()
    (copy / "stray.py").write_text("ANSWER = 1\n")
    (copy / "stray").mkdir()
    (copy / "stray" / "data.txt").write_text("1")
    tmp_path.chmod(0o755)
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "prefix"))
    paths.needs.cache_clear()
    yield copy / "site-packages"
    paths.needs.cache_clear()


READERS = [item for item in MORE if item.kind == "token" or item.name in ("list_packages", "module_read_package")]


def test_packages_beside_the_standard_library_are_not_in_the_cage(prefix: Path, tmp_path: Path) -> None:
    """As in a container, in conda, with the system's pip: the packages' folder is inside the library's."""
    (tmp_path / "world").mkdir()
    through = Counter()
    stray = """
        import os
        def f(folder):
            for path in ("stray.py", "stray/data.txt"):
                try:
                    if open(os.path.join(folder, path)).read():
                        return path
                except OSError:
                    pass
            import stray
    """
    with world(tmp_path / "world") as scene:
        scene.packages = prefix
        for label in ("namespaces", "namespaces, no Landlock", "landlock+seccomp", "rlimits"):
            for reader in READERS:
                if missing(label):
                    continue
                with emulated(label):
                    outcome = attack(reader, scene, allow_weak_isolation=True)
                assert outcome.verdict == ("pass" if label == "rlimits" and outcome.passed else "fail"), reader.name
                through[label] += outcome.verdict == "pass"
            with emulated(label):
                answer = "stray.py" if label == "rlimits" else None
                outcome = run(stray, "f", [[[str(prefix.parent)], answer]])
                assert outcome.verdict == ("pass" if label == "rlimits" else "fail"), label
    assert through.pop("rlimits") >= 6  # the programs are right: with the cage open they find it
    assert not +through


@pytest.mark.skipif(not LINUX or os.geteuid() != 0, reason="takes root, whose capabilities it takes away")
@pytest.mark.parametrize(
    ("without", "own_user", "levels"),
    [
        ("setuid", True, ["landlock+seccomp"]),
        ("setuid", False, ["landlock+seccomp"]),  # root that may not make a user namespace either
        ("dac_read_search", True, ["namespaces", "landlock+seccomp", "rlimits"]),
    ],
)
def test_root_without_a_capability_has_the_levels_that_do_not_need_it(
    without: str, own_user: bool, levels: list[str]
) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv (util-linux) on this machine")
    code = f"""
        from llm_bridge.scoring import sandbox
        from llm_bridge.scoring._isolation.process import Child
        describe = Child._describe
        Child._describe = lambda self: describe(self) | {{"own_user": {own_user}}}
        tests = [[[1], 2], [[2], 0]]
        outcome = sandbox.run_tests("def f(x): return x + 1", "f", tests)
        print(outcome.isolation, outcome.verdict, outcome.passed, sandbox._REFUSALS)
    """
    command = ["setpriv", f"--bounding-set=-{without}", f"--inh-caps=-{without}", sys.executable, "-c"]
    done = subprocess.run([*command, textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    level, verdict, passed = done.stdout.split()[:3]
    assert level in levels, done.stdout
    assert (verdict, passed) == (("refused", "0") if level == LEVELS[-1] else ("fail", "1")), done.stdout
    assert "CAP_" in done.stdout or level == LEVELS[0]  # why the stronger ones are not to be had


# ── names that would stand in for others ────────────────────────────────────────────────────────────────────────────

ANY_MODULE = "from prog import prog\ndef test(): assert prog(1) == 2\n"


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of all modules that are in the worker when the verdict on a pytest module is reached."""
    # a folder of its own: nobody but its owner enters those of pytest, and the worker may be an ordinary user
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patch:
        names = Path(folder) / "names"
        Path(folder).chmod(0o777)
        source = f"""
            import atexit, sys
            def prog(x):
                with open({str(names)!r}, "w") as file:
                    file.write(" ".join(sys.modules))
                return x + 1
        """
        patch.setattr(sandbox, "isolation_level", lambda: LEVELS[-1])
        assert run(source, "prog", TestSuite(test_module=ANY_MODULE)).verdict == "pass"
        found = {name.partition(".")[0] for name in names.read_text().split()}
    return {name for name in found if name.isidentifier()} - {"prog", "test_prog"}


def test_no_file_may_have_the_name_of_a_module_that_the_judge_imports(imported: set[str]) -> None:
    assert len(imported) > 100 and {"pytest", "_pytest", "textwrap", "bisect", "inspect", "_isolation"} <= imported
    honest = "def prog(x): return x + 1\n"
    for name in sorted(
        imported | {"string", "token", "random", "copy", "heapq", "sitecustomize", "pluggy", "antigravity"}
    ):
        for suite in (TestSuite(cases=(([1], 2),)), TestSuite(test_module=ANY_MODULE)):
            with pytest.raises(ValueError, match=rf"helpers.*'{name}\.py'"):
                run_tests(honest, "prog", dataclasses.replace(suite, helpers={f"{name}.py": ""}))
        with pytest.raises(ValueError, match=f"entry_point.*{name!r}"):
            run_tests(honest.replace("prog", name), name, TestSuite(test_module=ANY_MODULE.replace("prog", name)))
    # the name of a function alone is no file's
    assert run_tests("def copy(x): return x\n", "copy", [[[1], 1]]).verdict == "pass"
    for helper in ("prog.py", "test_prog.py"):
        with pytest.raises(ValueError, match=f"helpers.*{helper}"):
            run_tests(honest, "prog", TestSuite(test_module=ANY_MODULE, helpers={helper: ""}))


def test_a_file_with_such_a_name_would_not_run_outside_the_cage(imported, level, tmp_path, monkeypatch) -> None:
    """Were the names not refused: the program's folder comes last, and only when the cage is closed."""
    if level == LEVELS[-1]:
        pytest.skip("there is no cage")
    (tmp_path / "world").mkdir()
    monkeypatch.setattr(sandbox, "_check_names", lambda *_: None)
    with world(tmp_path / "world") as scene:
        trap = scene.fill_in("open('@FOLDER@/mine', 'w').close()\nopen('@CANARY@', 'a').write('x')\n")
        helpers = {f"{name}.py": trap for name in imported}
        for suite in (
            TestSuite(test_module=ANY_MODULE, helpers=helpers),
            TestSuite(cases=(([1], 2),), helpers=helpers),
        ):
            assert run("def prog(x): return x + 1\n", "prog", suite).verdict == "pass"
        assert scene.harm() == []


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_comparison_is_inside_the_time_limit() -> None:
    """Integers that collide in a hash table: 8,000 of them take seconds to put into a set."""
    colliding = {number * ((1 << 61) - 1) for number in range(8_000)}
    source = "def f(n): return {number * ((1 << 61) - 1) for number in range(n)}\n"
    start = time.monotonic()
    outcome = run_tests(source, "f", [[[8_000], colliding]], time_limit_s=0.2)
    assert outcome.verdict == "timeout" and time.monotonic() - start < 5
    assert run_tests(source, "f", [[[300], {number * ((1 << 61) - 1) for number in range(300)}]]).verdict == "pass"
    # whatever is expected, an answer of collisions is not built
    many = "def f(n): return {number * ((1 << 61) - 1): 1 for number in range(n)}\n"
    start = time.monotonic()
    assert run_tests(many, "f", [[[5_000], dict.fromkeys(range(5_000), 1)]]).verdict == "fail"
    assert time.monotonic() - start < 10


def test_the_budget_is_for_all_cases_together() -> None:
    source = "def f(x):\n    while x: pass\n    return x\n"
    start = time.monotonic()
    outcome = run_tests(source, "f", [[[0], 0], *[[[1], 1]] * 50, [[0], 0]], time_limit_s=0.2)
    assert outcome.cases == ("pass", *["timeout"] * 51)
    assert time.monotonic() - start < 50 * 0.2
    outcome = run_tests(source, "f", [[[1], 1], [[0], 0]], time_limit_s=0.2, budget_s=0.1)
    assert outcome.cases == ("timeout", "timeout")
    for budget in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="budget_s"):
            run_tests(source, "f", [[[0], 0]], budget_s=budget)


def test_a_program_that_ends_its_cage_again_and_again_spends_its_budget() -> None:
    """Each new cage takes far longer than the case that ends it."""
    start = time.monotonic()
    outcome = run_tests("import os\ndef f(x): os._exit(0)\n", "f", [[[x], x] for x in range(300)], time_limit_s=0.3)
    assert time.monotonic() - start < 3 * 10 * 0.3  # of which a crowded machine may take its share
    assert outcome.verdict == "timeout" and outcome.failed == 300
    assert outcome.cases[0] == "crash" and list(outcome.cases) == sorted(outcome.cases)  # "crash", then "timeout"


@pytest.mark.parametrize(
    ("result", "expected", "arguments", "verdict"),
    [
        ("None", 1.0, [1.0, 0.5], "fail"), ("'a'", 1.0, [1.0, 0.5], "fail"), ("[1.0]", 1.0, [1.0, 0.5], "fail"),
        ("1.0", None, [1.0, 0.5], "fail"), ("1.0", "a", [1.0, 0.5], "fail"), ("1.0", [1.0], [1.0, 0.5], "fail"),
        ("1.2", 1.0, [1.0, None], "fail"), ("1.2", 1.0, [1.0, "a"], "fail"), ("1.2", 1.0, [1.0, [1]], "fail"),
        ("1.0", 1.0, [1.0, None], "pass"), ("None", None, [1.0, 0.5], "pass"), ("[1.0]", [1.0], [1.0, 0.5], "pass"),
        ("1.2", 1.0, [1.0, 0.5], "pass"), ("1.2", 1.0, [1.0, float("nan")], "fail"), ("1j", 1.0, [1.0, 5], "fail"),
        ("10 ** 400", 1.0, [1.0, 0.5], "fail"), ("float('inf')", 1.0, [1.0, float("inf")], "pass"),
    ],
)  # fmt: skip
def test_an_approximate_comparison_never_raises(result, expected, arguments, verdict) -> None:
    suite = TestSuite(cases=((arguments, expected),), compare="approx_last_argument")
    assert run_tests(f"def f(*_): return {result}\n", "f", suite).verdict == verdict
    alone = TestSuite(cases=((0.25, expected),), compare="approx_last_argument")
    assert run_tests(f"def f(*_): return {result}\n", "f", alone).verdict in ("pass", "fail")


@given(plain, plain)
def test_values_are_compared_as_python_compares_them(value: object, other: object) -> None:
    form = wire.unpack(wire.pack(wire.encode(value))[wire.HEADER.size :])
    assert compare.equal(form, value, time.monotonic() + 60)
    assert compare.equal(form, other, time.monotonic() + 60) == (wire.decode(form) == other)
    with pytest.raises(TimeoutError):
        compare.equal(form, value, time.monotonic() - 1)


@pytest.mark.skipif(not LINUX, reason="needs /proc")
def test_a_killed_keeper_is_not_the_programs_crash(level: str, tmp_path: Path, monkeypatch) -> None:
    """The case runs again in another cage; where none lasts, there is no verdict."""
    if level == LEVELS[-1]:
        pytest.skip("without a cage the program can kill the keeper itself")
    kept: list[int] = []
    start, ask = process.Child._start, process.Child.ask

    def note(self) -> None:
        start(self)
        kept.append(self._process.pid)

    def kill_soon(self, request, limit_s):
        if "call" in request and len(kept) <= times:
            threading.Timer(0.2, os.kill, (kept[-1], signal.SIGKILL)).start()
        return ask(self, request, limit_s)

    monkeypatch.setattr(process.Child, "_start", note)
    monkeypatch.setattr(process.Child, "ask", kill_soon)
    source = "import time\ndef f(x):\n    time.sleep(0.6)\n    return x\n"
    times = 2
    assert run(source, "f", [[[1], 1], [[2], 0]]).cases == ("pass", "fail")
    assert len(kept) == 3
    times = 10**9
    kept.clear()
    with pytest.raises(CageError, match="keeper was killed"):
        run(source, "f", [[[1], 1]])
    times = 0  # the program's own death stays its own
    assert run("import os\ndef f(x): os.abort()\n", "f", [[[1], 1]]).verdict == "crash"


# ── when things go wrong ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not LINUX, reason="takes namespaces")
def test_a_cage_that_fails_half_built_deletes_nothing_of_the_machine(tmp_path: Path) -> None:
    """The first process of the namespaces fails with the library mounted, and the judge is gone by then."""
    if missing("namespaces"):
        pytest.skip(missing("namespaces"))
    for name in ("library", "base"):
        (tmp_path / name).mkdir()
    (tmp_path / "library" / "module.py").write_text("x = 1\n")
    code = f"""
        import os
        from llm_bridge.scoring._isolation import child, namespaces, wire
        def build_root(base, *_):
            namespaces.mount(None, "/", None, namespaces.MS_REC | namespaces.MS_PRIVATE)
            os.mkdir(base + "/library")
            namespaces.mount({str(tmp_path / "library")!r}, base + "/library", None, namespaces.MS_BIND)
            assert os.listdir(base + "/library") == ["module.py"]
            open({str(tmp_path / "mounted")!r}, "w").close()
            raise OSError("no space left on device")
        namespaces.build_root = build_root
        (requests, to_requests), (gone, replies), (lifeline, held) = os.pipe(), os.pipe(), os.pipe()
        job = dict(level="namespaces", own_user=True, library=[], shared=[], files=dict(), site=dict())
        wire.write_frame(to_requests, job)
        os.close(gone)
        child.main({str(tmp_path / "base")!r}, requests, replies, lifeline)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, timeout=60, capture_output=True)
    assert (tmp_path / "mounted").exists()
    assert (tmp_path / "library" / "module.py").exists()
    assert not (tmp_path / "base").exists()  # the keeper's own folder is gone all the same


def test_the_judge_does_not_wait_for_what_the_program_took_back(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`poll` says that there is something; by the time it is read there is nothing."""

    class Announcing:
        def __init__(self) -> None:
            self.files: list[int] = []

        def register(self, fd: int, _: int) -> None:
            self.files.append(fd)

        def unregister(self, fd: int) -> None:
            self.files.remove(fd)

        def poll(self, _: float) -> list[tuple[int, int]]:
            time.sleep(0.01)
            return [(fd, 1) for fd in self.files]

    monkeypatch.setattr(process.select, "poll", Announcing)
    start = time.monotonic()
    source = "import time\ndef f(x):\n    time.sleep(60 * x)\n    return x\n"
    assert run(source, "f", [[[0], 0], [[1], 1]], time_limit_s=0.5).cases == ("pass", "timeout")
    assert time.monotonic() - start < 20


@pytest.mark.skipif(not LINUX, reason="counts open files in /proc")
def test_a_judge_that_is_out_of_files_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, calls = os.pipe, []

    def third_fails() -> tuple[int, int]:
        calls.append(None)
        if len(calls) == 3:
            raise OSError(24, "Too many open files")
        return pipe()

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(process.os, "pipe", third_fails)
    with pytest.raises(CageError, match="Too many open files"), process.Child(Job(level="x", entry_point="f", cpu_s=1)):
        pass
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_judge_without_standard_files_has_its_cage(closed: tuple[int, ...], tmp_path: Path) -> None:
    """A pipe would else get their numbers, under which the child's own standard files are put."""
    code = f"""
        import os
        for fd in {closed}:
            os.close(fd)
        from llm_bridge.scoring import sandbox
        outcome = sandbox.run_tests("def f(x): return x", "f", [[[1], 1], [[1], 2]])
        with open({str(tmp_path / "told")!r}, "w") as file:
            file.write(f"{{outcome.isolation}} {{outcome.cases}}")
        for fd in {closed}:
            try:
                os.fstat(fd)
            except OSError:
                os.open({str(tmp_path / "closed")!r} + str(fd), os.O_CREAT)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, timeout=60, capture_output=True)
    assert (tmp_path / "told").read_text() == f"{sandbox.isolation_level()} ('pass', 'fail')"
    assert len(list(tmp_path.glob("closed*"))) >= 1  # and they stay closed


@pytest.mark.parametrize(("abi", "flags"), [(1, 0), (6, 0), (7, 1), (8, 1)])
def test_what_landlock_refuses_is_not_logged(abi: int, flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF of include/uapi/linux/landlock.h, which older kernels refuse."""
    calls = {}

    def note(name: str, number: int, *arguments: object) -> int:
        calls[name] = arguments
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(landlock, "syscall", note)
    landlock.restrict([], abi=abi)
    assert calls["landlock_restrict_self"][1] == flags


# ── the system call filter, on both architectures, without running it ───────────────────────────────────────────────


def _judge_call(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """A small interpreter of classic BPF: what the filter answers to one system call."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    program = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, value = program[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return value
        else:
            truth = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            at += if_true if truth else if_false


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)])
@pytest.mark.parametrize("private_root", [True, False])
def test_system_call_filter(machine: str, arch: int, private_root: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "MACHINE", machine)
    column = 0 if machine == "x86_64" else 1
    code = seccomp._build(77, private_root=private_root)
    allow, deny, kill = 0x7FFF0000, 0x00050026, 0x80000000

    def call(name: str, *arguments: int) -> int:
        known = {**seccomp._ALLOWED, **seccomp._ALLOWED_PRIVATE_ROOT, **SPECIAL}
        return _judge_call(code, arch, known[name][column], *arguments)

    assert call("read") == call("openat", 0, 0, 0) == call("mmap") == call("futex") == allow
    for flags in (0o1000, 0o1001, 0o1102, 0o20200002):  # O_TRUNC, with and without writing; O_TMPFILE
        assert call("openat", 0, 0, flags) == (allow if private_root else 0x0005000D)
        assert column or call("open", 0, flags) == (allow if private_root else 0x0005000D)
    assert call("mmap", 0, 4096, 3, 0x22) == allow and call("mmap", 0, 1 << 21, 3, 0x40022) == 0x0005000D  # MAP_HUGETLB
    for name in ("clock_gettime", "clock_getres", "clock_nanosleep"):
        assert [call(name, clock) for clock in range(12)] == [allow] * 12
        for pid in (0, 1, 77, 4_000_000):  # clocks of processes, of threads, and of files
            for kind in (0b000, 0b010, 0b110, 0b011):
                assert call(name, (~pid << 3 | kind) & (1 << 64) - 1) == 0x0005000D
    assert call("fcntl", 3, 4) == allow and call("fcntl", 3, 6) == deny  # F_SETFL, and a lock
    assert call("madvise", 0, 0, 4) == allow and call("madvise", 0, 0, 21) == deny  # MADV_PAGEOUT
    for name in ("flock", "fsync", "sysinfo", "statfs", "mincore", "preadv2"):
        assert call(name) == deny
    assert call("mkdirat") == call("unlinkat") == call("fchmodat") == (allow if private_root else deny)
    assert call("clone", 0x3D0F00) == allow  # what pthread_create asks for
    assert call("clone", 0x10F00 | 0x10000000) == call("clone", 0x10F00 | 0x20000) == 0x0005000D  # CLONE_NEWUSER, NEWNS
    assert call("clone", 0x10F00) == allow and call("clone", 17) == deny and call("clone3") == deny
    assert call("kill", 77, 9) == allow
    assert [call("kill", pid & (1 << 64) - 1, 9) for pid in (1, 0, -1, -77, 78)] == [deny] * 5
    assert call("tgkill", 77, 77, 6) == allow and call("tgkill", 1, 1, 6) == deny
    assert call("ioctl", 1, 0x5401) == allow and call("ioctl", 0, 0x5412) == deny  # TIOCSTI types into a terminal
    assert call("fcntl", 3, 1030) == allow and call("fcntl", 3, 8) == call("fcntl", 3, 10) == deny
    assert call("prlimit64", 0) == allow and call("prlimit64", 1) == deny
    for name in ("execve", "socket", "ptrace", "mount", "unshare", "bpf", "memfd_create", "io_uring_setup", "prctl"):
        assert call(name) == deny
    assert _judge_call(code, 0x40000003, 1) == kill  # 32-bit calls have other numbers
    if machine == "x86_64":
        assert _judge_call(code, arch, 57) == _judge_call(code, arch, 58) == deny  # fork, vfork
        assert _judge_call(code, arch, 0x40000000 | 59) == deny  # x32


SPECIAL = {
    "clone": seccomp._CLONE, "kill": seccomp._KILL, "tgkill": seccomp._TGKILL, "ioctl": seccomp._IOCTL,
    "fcntl": seccomp._FCNTL, "prlimit64": seccomp._PRLIMIT, "clone3": (435, 435), "execve": (59, 221),
    "socket": (41, 198), "ptrace": (101, 117), "mount": (165, 40), "unshare": (272, 97), "bpf": (321, 280),
    "mmap": seccomp._MMAP, "clock_gettime": seccomp._CLOCKS[0], "clock_getres": seccomp._CLOCKS[1],
    "clock_nanosleep": seccomp._CLOCKS[2],
    "open": seccomp._OPEN, "openat": seccomp._OPENAT, "madvise": seccomp._MADVISE, "flock": (73, 32),
    "fsync": (74, 82), "sysinfo": (99, 179), "statfs": (137, 43), "mincore": (27, 232), "preadv2": (327, 286),
    "memfd_create": (319, 279), "io_uring_setup": (425, 425), "prctl": (157, 167),
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_system_call_numbers_are_the_kernels(column: int, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"no kernel header {header}")
    text = Path(header).read_text()
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
    found |= {"newfstatat": found.get("newfstatat", found.get("fstatat")), "lseek": found["lseek"]}
    for name, numbers in {**seccomp._ALLOWED, **seccomp._ALLOWED_PRIVATE_ROOT, **SPECIAL}.items():
        if numbers[column] is not None and (name in found or column == 0):
            assert int(found[name]) == numbers[column], name
    assert sum(name in found for name in seccomp._ALLOWED) > 80


# ── QuixBugs: upstream's outcomes ───────────────────────────────────────────────────────────────────────────────────

ENDLESS = ("bitcount", "sqrt", "find_first_in_sorted", "levenshtein")  # buggy, these run into the time limit


@pytest.fixture(scope="module")
def quixbugs(shared: Path) -> list[dict]:
    file = shared / "data" / "quixbugs.jsonl"
    if not file.exists():
        pytest.skip("QuixBugs is not beside the repository (shared/data/quixbugs.jsonl)")
    node = json.loads((file.parent / "quixbugs_node.json").read_text())
    records = [json.loads(line) for line in file.read_text().splitlines()]
    for record in records:
        record["suite"] = TestSuite(
            cases=tuple((arguments, expected) for arguments, expected in record["tests"] or ()),
            compare=record["compare"] or "equal",
            skip=tuple(record["skip"]),
            test_module=record["test_module"],
            helpers=node if record["needs_node"] else {},
        )
    assert len(records) == 40
    return records


def _outcomes(records: list[dict], version: str, limit_s: float | None) -> dict[str, sandbox.TestOutcome]:
    def judge(record: dict) -> sandbox.TestOutcome:
        return run_tests(record[version], record["name"], record["suite"], time_limit_s=limit_s)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip((record["name"] for record in records), pool.map(judge, records), strict=True))


def test_quixbugs_correct_programs_pass_as_upstream(quixbugs: list[dict]) -> None:
    outcomes = _outcomes(quixbugs, "correct", None)
    assert {name: outcome for name, outcome in outcomes.items() if outcome.verdict != "pass"} == {}
    assert sum(outcome.passed for outcome in outcomes.values()) == 276
    assert sum(outcome.skipped for outcome in outcomes.values()) == 2


def _assert_as_upstream(records: list[dict], outcomes: dict[str, sandbox.TestOutcome]) -> None:
    counts = {name: (outcome.passed, outcome.failed) for name, outcome in outcomes.items()}
    assert counts == {record["name"]: (record["buggy_passed"], record["buggy_failed"]) for record in records}


def test_quixbugs_buggy_programs_that_end_fail_as_upstream(quixbugs: list[dict]) -> None:
    # of the nine with a pytest module, half a second each, three
    modules = [record["name"] for record in quixbugs if record["test_module"]]
    records = [record for record in quixbugs if record["name"] not in (*ENDLESS, *modules[3:])]
    _assert_as_upstream(records, _outcomes(records, "buggy", 10.0))


@pytest.mark.slow
def test_quixbugs_buggy_programs_fail_as_upstream(quixbugs: list[dict]) -> None:
    """The whole matrix at the oracle's 3 s a case, about a minute."""
    outcomes = _outcomes(quixbugs, "buggy", 3.0)
    _assert_as_upstream(quixbugs, outcomes)
    passed, failed, skipped = (
        sum(getattr(outcome, field) for outcome in outcomes.values()) for field in ("passed", "failed", "skipped")
    )
    assert (passed, failed, skipped) == (89, 187, 2)
    assert all(outcome.failed for outcome in outcomes.values())


@pytest.mark.slow
def test_quixbugs_in_normal_form_and_under_every_isolation(level: str, shared: Path) -> None:
    """The texts that cross the link have the outcomes of the raw ones."""
    quixbugs = pytest.importorskip("llm_bridge.corpora.quixbugs")
    file = shared / "data" / "quixbugs.jsonl"
    if not file.exists():
        pytest.skip("QuixBugs is not beside the repository (shared/data/quixbugs.jsonl)")
    oracle = {record["name"]: record for record in map(json.loads, file.read_text().splitlines())}
    passed = 0
    for pair in quixbugs.load(file):
        outcome = run(pair.correct, pair.name, pair.tests)
        assert outcome.verdict == "pass", pair.name
        passed += outcome.passed
        if pair.name not in ENDLESS:
            buggy = run(pair.buggy, pair.name, pair.tests)
            record = oracle[pair.name]
            assert (buggy.passed, buggy.failed) == (record["buggy_passed"], record["buggy_failed"]), pair.name
    assert passed == 276
