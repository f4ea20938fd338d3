"""Hostile programs end in a failing verdict, and nothing outside the cage notices.

The programs and the world they attack are in `hostile_programs`. Every one of them is run at the strongest isolation
by default; at the second strongest those whose containment differs, the rest with ``-m slow``. Two controls show that
the programs are real attacks: with the cage open they get through, and compared in place the false values are equal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hostile_programs import ATTACKS, RIGHT, Attack, World, attack, missing, world

from llm_bridge.scoring import sandbox
from llm_bridge.scoring._isolation.process import LEVELS

BY_NAME = {program.name: program for program in ATTACKS}

# stopped by the pipes, the parser or the clock, which are the same at every isolation
SAME_EVERYWHERE = {
    "sleep", "busy_loop", "loop_in_c", "catastrophic_regex", "deadlock", "hang_at_import", "swallow_every_exception",
    "stack_overflow", "stack_overflow_in_c", "null_pointer", "no_python_at_all", "brackets_without_end",
    "huge_constant", "infinite_output", "infinite_errors", "sys_exit_0", "os_exit_0", "sys_exit_0_at_import",
    "os_exit_0_at_import", "exit_hook", "print_forged_results", "write_forged_results_to_all_pipes",
    "promise_four_gigabytes", "drip_an_answer", "nested_brackets_as_answer", "swap_the_pipes", "equal_to_everything",
    "int_equal_to_everything", "list_equal_to_everything", "false_class", "false_base_by_metaclass",
    "patched_builtins", "patched_equality_of_int", "patched_encoder", "patched_worker", "huge_int", "huge_string",
    "infinite_generator", "infinite_slow_generator", "list_that_holds_itself", "list_a_million_deep",
    "a_dag_that_unfolds_without_end", "dict_of_collisions", "recursion_in_repr", "exception_that_hides",
    "memory_bomb_in_steps", "alarm_that_raises_in_the_judge", "deaf_to_all_signals", "stop_oneself",
    "search_all_objects", "search_all_frames", "search_environment_and_arguments", "search_own_memory",
    "module_os_exit_at_import", "module_sys_exit_at_import", "module_os_exit_in_test", "module_skip",
    "module_pytest_exit", "module_pytest_exit_at_import", "module_tests_removed", "module_hang", "module_fork",
}  # fmt: skip
# what the open cage lets through without harm to the machine that runs the tests
REAL = (
    "daemon_by_double_fork", "subprocess_run", "posix_spawn", "raw_fork_by_ctypes", "multiprocessing_pool",
    "kill_victim", "kill_by_owner_of_a_pipe", "memory_file", "delete_file", "delete_tree", "overwrite_file",
    "truncate_file", "change_mode", "touch_times", "read_file", "read_password_file", "connect_to_loopback",
    "listen_on_loopback", "send_datagram", "abstract_unix_socket", "module_read_file", "module_test_file_rewritten",
)  # fmt: skip
HARMFUL = {"kill_victim", "delete_file", "delete_tree", "overwrite_file", "change_mode", "touch_times",
           "connect_to_loopback"}  # fmt: skip
FRIENDS = ("equal_to_everything", "int_equal_to_everything", "list_equal_to_everything", "false_class")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as scene:
        yield scene


@pytest.fixture
def at_level(monkeypatch: pytest.MonkeyPatch):
    def use(level: str) -> None:
        if missing(level):
            pytest.skip(missing(level))
        monkeypatch.setattr(sandbox, "isolation_level", lambda: level)

    return use


def _runs() -> Iterator[object]:
    for level in LEVELS[:2]:
        for program in ATTACKS:
            slow = level != LEVELS[0] and program.name in SAME_EVERYWHERE
            yield pytest.param(level, program, id=f"{level}-{program.name}", marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("level", "program"), list(_runs()))
def test_attack_ends_in_a_failing_verdict_and_the_host_is_unharmed(
    level: str, program: Attack, scene: World, at_level
) -> None:
    at_level(level)
    outcome = attack(program, scene)
    assert outcome.verdict in ("fail", "timeout", "crash"), outcome
    assert outcome.passed == 0 and outcome.failed == len(outcome.cases) > 0
    assert outcome.isolation == level
    assert scene.harm() == []
    if program.hangs:
        assert outcome.verdict == "timeout"


@pytest.mark.parametrize("name", REAL)
def test_with_the_cage_open_the_same_attack_gets_through(
    name: str, scene: World, at_level, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_level("rlimits")
    monkeypatch.setattr(sandbox, "run_tests", partial(sandbox.run_tests, allow_weak_isolation=True))
    outcome = attack(BY_NAME[name], scene)
    assert outcome.verdict == "pass", outcome
    harm = scene.harm()
    assert bool(harm) == (name in HARMFUL) or name in ("kill_by_owner_of_a_pipe", "truncate_file"), harm
    assert not any("left" in item for item in harm)  # also weak isolation cleans up


@pytest.mark.parametrize("name", FRIENDS)
def test_compared_in_place_the_false_value_is_equal(name: str) -> None:
    names: dict[str, object] = {}
    exec(textwrap.dedent(BY_NAME[name].text), names)
    for (argument,), expected in RIGHT:
        assert names["solve"](argument) == expected  # type: ignore[operator]


def test_there_are_more_than_thirty_and_their_names_are_unique() -> None:
    assert len(BY_NAME) == len(ATTACKS) > 30
    assert set(REAL) | SAME_EVERYWHERE | set(FRIENDS) <= set(BY_NAME)


def test_a_right_program_passes_in_the_same_world(scene: World, at_level) -> None:
    """The failing verdicts above are the programs' own, not the world's."""
    for level in LEVELS[:2]:
        at_level(level)
        for kind in ("cases", "module"):
            outcome = attack(Attack("honest", "def solve(x): return x + 1\n", kind), scene)
            assert (outcome.verdict, outcome.passed) == ("pass", 2)
    assert scene.harm() == []
