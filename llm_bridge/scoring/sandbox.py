"""Run a program that nobody vouches for, and judge it by its tests.

Generated programs, and programs that a radio link has damaged, are hostile until shown otherwise: they loop, eat
memory, delete files, and now and then cheat. A program therefore runs in a cage of its own, and a case is judged
outside of it:

    parent                         │ cage: no files, no network, no other process, no time, no memory to speak of
    arguments of case i ───────────┼──► program.entry_point(*arguments)
    result == expected ◄── data ───┼──  its result, as plain data

**List cases** (``[arguments, expected]``): the expected values never enter the cage, and what comes back is rebuilt
from builtin types before it is compared, so that neither a look around, nor a class with a friendly ``__eq__``, nor a
forged answer helps: a program passes by returning the right values. **A pytest module** runs beside the program in one
interpreter; its verdict is only as honest as the program, which could patch pytest. It is caged all the same.

Isolation is the strongest that is there, and `TestOutcome.isolation` names it:

========================  ==============================================================================================
``namespaces``            own mount, process, network, IPC and (where allowed) user namespaces: a private root with the
                          standard library, a private ``/tmp`` in memory, no ``/proc``; and Landlock and seccomp
``landlock+seccomp``      reading is confined to the standard library, writing to nothing
``rlimits``               limits on memory, time and files only: refused, unless the caller says otherwise
========================  ==============================================================================================

The first two (Linux on x86-64 or AArch64) also mean: no new process, no socket, no signal to others (`seccomp`), an
unprivileged id, no new privileges, and no capability but, where root's interpreter lies out of others' reach, the one
to read it. All have their own session and process group, resource limits, a wall-clock limit, an empty environment and
bounded output, and leave no process and no temporary file of ours behind. The programs have the standard library and
nothing else. ``docs/explanation/untrusted-programs.md`` says what is promised at each level, on which kernel, and what
is not.
"""

from __future__ import annotations

import ast
import functools
import math
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from llm_bridge.corpora import programs
from llm_bridge.corpora.programs import ProgramPair, TestSuite

from ._isolation import compare, paths, wire
from ._isolation.process import LEVELS, CageLost, Child, Ended, Job
from ._isolation.process import CageError as CageError

DEFAULT_TIME_LIMIT_S = 10.0
_REFERENCE_LOOP_S = 0.020  # what `machine_factor` measures on one core of the machine the limit was chosen on
_CPU_RESERVE_S = 60.0
_MAX_PARAMETRISED = 1000
_LIMITS_PER_PROGRAM = 10  # of `time_limit_s`, for all of a program's cases together
_LOST_CAGES = 3  # in a row, before no verdict is given
_REFUSALS: dict[str, str] = {}  # level, and why this machine does not have it


class IsolationError(RuntimeError):
    """Nothing here shuts a program in, so none is run."""


@dataclass(frozen=True, kw_only=True)
class TestOutcome:
    """Outcome of a program's tests.

    Attributes
    ----------
    passed, failed, skipped
        Numbers of cases. Every case is judged on its own; one that ran out of time or died is failed.
    verdict
        "pass": every case that is not skipped passed. "timeout", "crash": at least one case ran out of time; at least
        one ended the process, flooded the output or broke the protocol, and none ran out of time. "fail": all else,
        exceptions included. "no_tests": there was nothing to run. "refused": only weak isolation was to be had.
    isolation
        What the program was shut in with; for "refused", what there would have been.
    cases
        "pass", "fail", "timeout", "crash" or "skip" for each case, in order.
    """

    __test__ = False  # not a pytest class, whatever its name begins with

    passed: int
    failed: int
    skipped: int
    verdict: str
    isolation: str
    cases: tuple[str, ...] = field(default=(), compare=False, repr=False)


def run_tests(
    source: str,
    entry_point: str,
    tests: TestSuite | Iterable[Sequence[object]],
    *,
    time_limit_s: float | None = None,
    allow_weak_isolation: bool = False,
    budget_s: float | None = None,
) -> TestOutcome:
    r"""Judge a program by its tests, in the strongest isolation there is.

    Parameters
    ----------
    source
        Python source text of the program; need not parse.
    entry_point
        Name of the function under test; for a pytest module, also the name it imports the program by.
    tests
        ``[arguments, expected]`` pairs, compared by ``==`` (a generator that comes back is consumed first; a single
        argument may stand unwrapped), or a `TestSuite`, which says how to compare and what to skip. Arguments must be
        plain data; the program gets its own copy for each case.
    time_limit_s
        Wall-clock limit for each case with the comparison of its result, and for the program's import. None: 10 s
        times `machine_factor()`.
    allow_weak_isolation
        Run with nothing but resource limits where there is neither a namespace nor Landlock. The program can then
        read and delete the user's files.
    budget_s
        Wall-clock limit for all cases together, the new cages after those that the program ended included; cases that
        it leaves no time for count as "timeout". None: ten times `time_limit_s`.

    Returns
    -------
    TestOutcome
        Counts, verdict and isolation. Nothing that the program does raises.

    Raises
    ------
    ValueError
        For a parameter out of bounds, arguments that are not plain data, or a program beside a pytest module, or a
        helper, that has the name of a module of the standard library's, pytest's or the judge's own.
    RuntimeError
        Where the cage that was there cannot be built any more, or was torn down from outside: there is no verdict.
    ImportError
        For a pytest module, where pytest is not installed.

    Examples
    --------
    >>> double = "def double(x):\n    return x + x\n"
    >>> outcome = run_tests(double, "double", [[[2], 4], [["ab"], "abab"], [[3], 7]], allow_weak_isolation=True)
    >>> outcome.passed, outcome.failed, outcome.verdict
    (2, 1, 'fail')
    """
    suite, consume = _as_suite(tests)
    limit_s = _checked_limit("time_limit_s", time_limit_s, DEFAULT_TIME_LIMIT_S)
    budget = _checked_limit("budget_s", budget_s, _LIMITS_PER_PROGRAM * limit_s, scaled=False)
    if not isinstance(source, str):
        raise ValueError(f"'source' must be text (got {type(source).__name__})")
    if not isinstance(entry_point, str) or not entry_point.isidentifier():
        raise ValueError(f"'entry_point' must be an identifier (got {entry_point!r})")
    entry_point = unicodedata.normalize("NFKC", entry_point)  # as Python reads names
    _check_names(entry_point, suite)
    level = isolation_level()
    if level == LEVELS[-1] and not allow_weak_isolation:
        return TestOutcome(passed=0, failed=0, skipped=0, verdict="refused", isolation=level)
    if suite.test_module is None:
        cases = _run_list(source, entry_point, suite, consume, _Clock(limit_s, budget), level)
    else:
        cases = _run_module(source, entry_point, suite, _Clock(limit_s, budget), level)
    return _outcome(cases, level)


def suite_problems(pairs: Iterable[ProgramPair]) -> list[str]:
    """Why `run_tests` would refuse the tests of some pairs, a sentence for each such pair: said before any work."""
    problems = []
    for pair in pairs:
        try:
            suite, _ = _as_suite(pair.tests)
            _check_names(unicodedata.normalize("NFKC", programs.entry_point(pair)), suite)
            for index, (arguments, _) in enumerate(suite.cases):
                _encoded_arguments(index, arguments)
            if suite.test_module is not None:
                _count_tests(suite.test_module)
        except ValueError as error:
            problems.append(f"{pair.name!r}: {error}")
    return problems


@functools.cache
def isolation_level() -> str:
    """Strongest isolation of this machine, found once by building each in turn: one of `LEVELS`."""
    for level in LEVELS[:-1] if sys.platform == "linux" else ():
        try:
            with Child(Job(level=level, entry_point="f", cpu_s=_CPU_RESERVE_S)):
                return level
        except CageError as error:
            _REFUSALS[level] = str(error)
    return LEVELS[-1]


def require_isolation() -> str:
    """Name of the isolation that programs get here; `IsolationError` where there is none but resource limits.

    Called before work whose last step runs programs, so that it does not fail after hours.
    """
    level = isolation_level()
    if level == LEVELS[-1]:
        why = "; ".join(_REFUSALS.values()) or f"it takes Linux, and this is {sys.platform}"
        raise IsolationError(
            f"generated programs are not run here, for nothing shuts them in ({why}): run on Linux with user namespaces"
            " or Landlock, or leave out what runs programs (the task 'repair', the tests of a corpus)"
        )
    return level


@functools.cache
def machine_factor() -> float:
    """How much slower than the reference this machine runs Python, measured once; at least 1, at most 10.

    The best of five short loops: other load on the machine is not the machine's speed.
    """

    def loop() -> float:
        start = time.perf_counter()
        total = 0
        for number in range(400_000):
            total += number & 7
        return time.perf_counter() - start

    return min(10.0, max(1.0, min(loop() for _ in range(5)) / _REFERENCE_LOOP_S))


def _as_suite(tests: TestSuite | Iterable[Sequence[object]]) -> tuple[TestSuite, str]:
    """The suite, and which results the child consumes: "all" iterables, "generators", or "" none."""
    if isinstance(tests, TestSuite):
        suite, consume = tests, "all" if tests.compare == "list" else ""
    else:
        pairs = [tuple(pair) for pair in tests]
        for index, pair in enumerate(pairs):
            if len(pair) != 2:
                raise ValueError(f"'tests[{index}]' must be [arguments, expected] (got {len(pair)} items)")
        suite, consume = TestSuite(cases=tuple((arguments, expected) for arguments, expected in pairs)), "generators"
    for name in suite.helpers:
        if not name.endswith(".py") or not name[:-3].isidentifier():
            raise ValueError(f"'tests.helpers' must map module file names to texts (got {name!r})")
    return suite, consume


def _check_names(entry_point: str, suite: TestSuite) -> None:
    """Refuse a file of the program's that would stand in for another module, or would be stood in for."""
    reason = "a module of that name is the standard library's, pytest's or the judge's own"
    if suite.test_module is not None and (paths.is_taken(entry_point) or entry_point == "conftest"):
        raise ValueError(f"'entry_point' must not be {entry_point!r}: {reason}")
    ours = [entry_point, f"test_{entry_point}"] if suite.test_module is not None else []
    for name in suite.helpers:
        if paths.is_taken(name[:-3]):
            raise ValueError(f"'tests.helpers' must not hold {name!r}: {reason}")
        if name[:-3] in ours:
            raise ValueError(f"'tests.helpers' must not hold {name!r}: the program or its test module has that name")


def _checked_limit(name: str, limit_s: float | None, default_s: float, *, scaled: bool = True) -> float:
    if limit_s is None:
        return default_s * (machine_factor() if scaled else 1)
    if not (limit_s > 0 and math.isfinite(limit_s)):
        raise ValueError(f"{name!r} must be positive and finite (got {limit_s!r})")
    return float(limit_s)


class _Clock:
    """Time of one program: a limit for each question, and a budget for all."""

    def __init__(self, limit_s: float, budget_s: float) -> None:
        self.limit_s = limit_s
        self.left_s = budget_s

    def ask(
        self, child: Child, request: Mapping[str, object], judge: Callable[[Mapping[str, object], float], bool]
    ) -> bool:
        """Ask the child, and judge its answer by what is called with it and the deadline; `Ended` past that."""
        limit_s = min(self.limit_s, self.left_s)
        start = time.monotonic()
        try:
            return judge(child.ask(request, limit_s), start + limit_s)
        except TimeoutError as error:
            raise Ended("timeout") from error
        finally:
            self.left_s -= time.monotonic() - start


def _outcome(cases: Sequence[str], level: str) -> TestOutcome:
    passed, skipped = cases.count("pass"), cases.count("skip")
    failed = len(cases) - passed - skipped
    if not passed + failed:
        verdict = "no_tests"
    elif not failed:
        verdict = "pass"
    else:
        verdict = next(kind for kind in ("timeout", "crash", "fail") if kind in cases)
    return TestOutcome(
        passed=passed, failed=failed, skipped=skipped, verdict=verdict, isolation=level, cases=tuple(cases)
    )


def _run_list(source: str, entry_point: str, suite: TestSuite, consume: str, clock: _Clock, level: str) -> list[str]:
    """Status of each list case. One child runs them all; after one that dies or hangs, a new child runs the rest."""
    requests = [_encoded_arguments(index, arguments) for index, (arguments, _) in enumerate(suite.cases)]
    cases = ["skip" if index in suite.skip else "fail" for index in range(len(suite.cases))]
    job = Job(level=level, entry_point=entry_point, cpu_s=_cpu_s(clock, len(cases)), files=dict(suite.helpers))

    def load(child: Child) -> bool:
        return clock.ask(child, {"load": source}, lambda answer, _: answer.get("loaded") is True)

    def run(child: Child, index: int) -> str:
        def judge(answer: Mapping[str, object], deadline: float) -> bool:
            return "value" in answer and _matches(answer["value"], suite, index, deadline)

        return "pass" if clock.ask(child, {"call": requests[index], "consume": consume}, judge) else "fail"

    _run_in_children(job, cases, clock, load, run)
    return cases


def _run_module(source: str, entry_point: str, suite: TestSuite, clock: _Clock, level: str) -> list[str]:
    """Status of each case of a pytest module."""
    assert suite.test_module is not None
    # what the text defines must turn up, and nothing skips unless the text speaks of it: a program that ends the
    # collection early, or skips the tests, has not passed
    num_cases = _count_tests(suite.test_module)
    test_file = f"test_{entry_point}.py"
    files = {**suite.helpers, f"{entry_point}.py": source, test_file: suite.test_module}
    most_cases = _MAX_PARAMETRISED if "parametrize" in suite.test_module else num_cases
    may_skip = "skip" in suite.test_module
    cases: list[str] = []
    job = Job(
        level=level, entry_point=entry_point, cpu_s=_cpu_s(clock, max(1, num_cases)), files=files, test_file=test_file
    )

    def load(child: Child) -> bool:
        def judge(answer: Mapping[str, object], deadline: float) -> bool:
            count = answer.get("cases")
            if not isinstance(count, int) or not num_cases <= count <= most_cases:
                return False
            cases.extend("fail" for _ in range(len(cases), count))  # parametrised tests are more than the text shows
            return True

        return clock.ask(child, {"collect": True}, judge)

    def run(child: Child, index: int) -> str:
        outcomes: list[str] = []

        def judge(answer: Mapping[str, object], deadline: float) -> bool:
            outcome = answer.get("outcome")
            outcomes.append(outcome if isinstance(outcome, str) else "")
            return True

        clock.ask(child, {"run": index}, judge)
        return {"passed": "pass", "skipped": "skip" if may_skip else "fail"}.get(outcomes[0], "fail")

    cases.extend("skip" if index in suite.skip else "fail" for index in range(num_cases))
    _run_in_children(job, cases, clock, load, run)
    return cases


def _run_in_children(
    job: Job, cases: list[str], clock: _Clock, load: Callable[[Child], bool], run: Callable[[Child, int], str]
) -> None:
    """Fill in the status of every case that is not "skip", in as few children as the program allows."""
    index = lost = 0
    ended_s: float | None = None  # when the program ended its cage
    while True:
        while index < len(cases) and cases[index] == "skip":
            index += 1
        if index >= len(cases):
            return
        if clock.left_s <= 0:
            _fill(cases, index, "timeout")
            return
        before = index
        try:
            with Child(job, attempts=3) as child:
                if ended_s is not None:  # a new cage costs the program time, but no more than a case that hangs
                    clock.left_s -= min(time.monotonic() - ended_s, clock.limit_s)
                    ended_s = None
                try:
                    if not load(child):
                        return  # it would fail to load for each of the other cases too
                except Ended as ended:
                    _fill(cases, index, ended.how)
                    return
                while index < len(cases) and clock.left_s > 0:
                    if cases[index] != "skip":
                        try:
                            cases[index] = run(child, index)
                        except Ended as ended:
                            cases[index] = ended.how
                            index += 1
                            ended_s = time.monotonic()
                            break
                    index += 1
        except CageLost:  # somebody else's doing: the case runs again in another cage
            lost = lost + 1 if index == before else 1
            ended_s = None
            if lost == _LOST_CAGES:
                raise


def _fill(cases: list[str], first: int, status: str) -> None:
    """Give the same status to all cases from one on that are not skipped."""
    for index in range(first, len(cases)):
        cases[index] = cases[index] if cases[index] == "skip" else status


def _cpu_s(clock: _Clock, num_cases: int) -> float:
    """CPU time of one child: a second line behind the wall clock, should the parent be stopped."""
    return min(clock.limit_s * (num_cases + 1), clock.left_s, 1e6) + _CPU_RESERVE_S


def _encoded_arguments(index: int, arguments: object) -> object:
    """Arguments of a case as plain data; a single one may stand unwrapped."""
    if not isinstance(arguments, (list, tuple)):
        arguments = [arguments]
    try:
        return [wire.encode(item, strict=True) for item in arguments]
    except (TypeError, wire.WireError) as error:
        raise ValueError(f"arguments of 'tests[{index}]' must be plain data ({error})") from error


def _matches(value: object, suite: TestSuite, index: int, deadline: float) -> bool:
    """Whether a result, as it came back, is what the case expects; `TimeoutError` past the deadline."""
    arguments, expected = suite.cases[index]
    if suite.compare == "tuples" and isinstance(expected, (list, tuple)):
        expected = [tuple(item) if isinstance(item, (list, tuple)) else item for item in expected]
    try:
        if compare.equal(value, expected, deadline):
            return True
        return suite.compare == "approx_last_argument" and _is_near(
            wire.decode(value, max_hashed=0), expected, arguments
        )
    except (wire.WireError, RecursionError, OverflowError):
        return False


def _is_near(result: object, expected: object, arguments: object) -> bool:
    """Whether two numbers differ by no more than the last argument; anything but numbers is not near."""
    tolerance = arguments[-1] if isinstance(arguments, (list, tuple)) and arguments else arguments
    numbers = (result, expected, tolerance)
    if not all(isinstance(number, (int, float)) for number in numbers):
        return False
    return bool(abs(result - expected) <= tolerance)  # type: ignore[operator]


def _count_tests(test_module: str) -> int:
    """Number of test functions and methods that pytest is bound to find in a module's text."""
    try:
        body = ast.parse(test_module).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deeply
        reason = str(error) or "nested too deeply"
        raise ValueError(f"'tests.test_module' must be a Python module ({reason})") from error
    groups = [body, *(node.body for node in body if isinstance(node, ast.ClassDef) and node.name.startswith("Test"))]
    names = [
        [node.name for node in group if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))] for group in groups
    ]
    return sum(len({name for name in group if name.startswith("test")}) for group in names)
