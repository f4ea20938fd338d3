"""Hostile programs end in a failing verdict, and nothing outside the cage notices.

The programs and the world they attack are in `hostile_programs`. Every one of them is run at the strongest isolation
by default; at the second strongest those whose containment differs, the rest with ``-m slow``, and so is every other
kernel or container that this machine can stand in for (`EMULATED`). Two controls show that the programs are real
attacks: with the cage open they get through, and compared in place the false values are equal.

As an ordinary user: `test_an_ordinary_user_is_protected_as_well` and, for all programs, Pythons and levels,
``python tests/llm_bridge/scoring/hostile_programs.py`` under that user and that Python.
"""

from __future__ import annotations

import os
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_programs import ATTACKS, EMULATED, RIGHT, World, attack, descendants, emulated, missing, world
from more_hostile_programs import Attack
from test_sandbox import ROOT, _public_interpreter

from llm_bridge.scoring import sandbox
from llm_bridge.scoring._isolation.process import LEVELS, Child, Job

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
    "answer_the_next_question_too", "a_number_that_json_takes_for_infinite", "not_a_number",
    "the_expected_value_by_name", "module_pytest_replaced", "a_timer_that_outlives", "keep_the_pipe_after_the_answer",
    "tracer_that_rewrites_the_judges_variables", "audit_hook_at_every_step", "finaliser_that_answers",
    "codec_and_importer_of_ones_own",
}  # fmt: skip
# against files; an older Landlock forbids less of it, and an ordinary user's own files are not protected by their owner
FILES = (
    "truncate_by_opening_to_read", "truncate_by_creat", "truncate_by_openat2", "truncate_a_file_opened_to_read",
    "truncate_file", "append_to_file", "overwrite_file", "make_an_unnamed_file_on_the_disk", "map_a_file_to_write",
    "delete_file", "change_mode", "touch_times", "touch_by_old_calls", "change_extended_attributes", "read_file",
    "module_truncate_file", "read_a_named_file_of_a_package", "kill_victim", "pipes_of_the_judge",
    "kill_by_a_process_id_with_high_bits", "open_to_empty_with_high_bits",
)  # fmt: skip
BY_DEFAULT = {"namespaces": None, "landlock+seccomp": None, "landlock+seccomp, ABI 1": FILES}  # None: all
# what the open cage lets through without harm to the machine that runs the tests
REAL = (
    "daemon_by_double_fork", "subprocess_run", "posix_spawn", "raw_fork_by_ctypes", "multiprocessing_pool",
    "kill_victim", "kill_by_owner_of_a_pipe", "memory_file", "delete_file", "delete_tree", "overwrite_file",
    "truncate_file", "change_mode", "touch_times", "read_file", "read_password_file", "connect_to_loopback",
    "listen_on_loopback", "send_datagram", "abstract_unix_socket", "module_read_file", "module_test_file_rewritten",
    "truncate_by_opening_to_read", "truncate_by_creat", "truncate_by_openat2", "append_to_file", "map_a_file_to_write",
    "make_an_unnamed_file_on_the_disk", "lock_a_library_file", "lock_a_range_of_a_library_file", "touch_by_old_calls",
    "flush_a_library_file_to_the_disk", "change_extended_attributes", "load_of_the_machine", "space_on_the_disks",
    "what_others_have_read_by_preadv2", "watch_a_folder", "read_the_judges_own_sources", "read_the_corpus",
    "read_a_named_file_of_a_package", "import_a_package_from_its_folder", "get_data_by_pkgutil", "list_packages",
    "read_a_package_by_libc", "read_usr_local_and_share", "system_v_semaphores", "socket_pair",
    "touch_what_was_left_open", "cpu_time_of_the_judge", "clocks_of_everybody",
    "new_user_namespace", "personality_without_randomness", "module_read_package", "module_truncate_file",
    "socket_by_a_number_with_high_bits", "kill_by_a_process_id_with_high_bits", "open_to_empty_with_high_bits",
    "own_memory_by_proc", "roots_and_folders_of_others",
)  # fmt: skip
HARMFUL = {
    "truncate_by_opening_to_read", "truncate_by_creat", "truncate_by_openat2", "append_to_file",
    "map_a_file_to_write", "touch_by_old_calls", "module_truncate_file", "kill_victim", "delete_file",
    "delete_tree", "overwrite_file", "change_mode", "touch_times", "connect_to_loopback",
    "kill_by_a_process_id_with_high_bits", "open_to_empty_with_high_bits",
}  # fmt: skip
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
    for label in EMULATED:
        for program in ATTACKS:
            chosen = BY_DEFAULT.get(label, ())
            slow = (chosen is not None and program.name not in chosen) or (
                label != "namespaces" and program.name in SAME_EVERYWHERE
            )
            yield pytest.param(label, program, id=f"{label}-{program.name}", marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("label", "program"), list(_runs()))
def test_attack_ends_in_a_failing_verdict_and_the_host_is_unharmed(label: str, program: Attack, scene: World) -> None:
    if missing(label):
        pytest.skip(missing(label))
    with emulated(label) as level:
        outcome = attack(program, scene)
    assert outcome.verdict in ("fail", "timeout", "crash"), outcome
    assert outcome.passed == 0 and outcome.failed == len(outcome.cases) > 0
    assert outcome.isolation == level
    assert scene.harm() == []
    if program.hangs:
        assert outcome.verdict == "timeout"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changes the user id, which takes root")
def test_an_ordinary_user_is_protected_as_well(tmp_path: Path) -> None:
    """The files are the user's own here, and so are the judge and the victim: no ownership stands in the way."""
    labels = ("namespaces", "landlock+seccomp, ABI 1", "landlock+seccomp, ABI 2", "landlock+seccomp")
    only = [name for name in FILES if not name.startswith("module_")]  # which need pytest beside that interpreter
    code = f"""
        import os, runpy, sys
        os.setgroups([]); os.setresgid(4242, 4242, 4242); os.setresuid(4242, 4242, 4242)
        sys.path[:0] = [{str(Path(__file__).parent)!r}]
        sys.argv[1:] = {[*labels, "--only=" + ",".join(only)]}
        runpy.run_path({str(Path(__file__).parent / "hostile_programs.py")!r}, run_name="__main__")
    """
    tmp_path.chmod(0o777)
    tmp_path.parent.chmod(0o755)
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nowhere", "TMPDIR": "/tmp"}
    command = [_public_interpreter(), "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith(("CONTAINED", "SKIPPED"))]
    assert [line for line in done.stdout.splitlines() if "LEAK" in line] == []
    assert len(told) == len(labels) and sum("CONTAINED" in line for line in told) >= 1, told
    for line in told:
        assert line.startswith((f"CONTAINED {len(only)} of {len(only)} ", "SKIPPED")), line


@pytest.mark.parametrize("label", ["namespaces", "namespaces, no Landlock", "landlock+seccomp"])
def test_a_second_judge_is_out_of_reach(label: str) -> None:
    """Two cages of one user: neither reads the other's pipes, nor its memory, nor sends it a signal."""
    if missing(label):
        pytest.skip(missing(label))
    source = """
        import ctypes, os
        LIBC = ctypes.CDLL(None, use_errno=True)
        def tries(pids):
            for pid in pids:
                for fd in range(12):
                    for flags in (os.O_RDONLY, os.O_WRONLY):
                        yield os.open, (f"/proc/{pid}/fd/{fd}", flags | os.O_NONBLOCK)
                yield open, (f"/proc/{pid}/mem", "r+b")
                yield os.kill, (pid, 0)
                yield os.pidfd_open, (pid,)
                yield os.sched_getaffinity, (pid,)     # tells who is there, and no more
        def solve(pids):
            done = set()
            for call, arguments in tries(pids):
                try:
                    call(*arguments)
                    done.add(call.__name__)
                except OSError:
                    pass
            return sorted(done)
    """
    before = descendants()
    with emulated(label) as level, Child(Job(level=level, entry_point="f", cpu_s=60)) as other:
        assert other.ask({"load": "def f(x): return x"}, 10)["loaded"]
        pids = sorted(descendants() - before)
        assert len(pids) >= 2
        allowed = ["sched_getaffinity"] if level == "landlock+seccomp" else []  # there is one process namespace
        outcome = sandbox.run_tests(textwrap.dedent(source), "solve", [[[pids], allowed]])
        assert outcome.verdict == "pass", outcome
        assert other.ask({"call": [7], "consume": ""}, 10)["value"] == 7


@pytest.mark.parametrize("name", REAL)
def test_with_the_cage_open_the_same_attack_gets_through(name: str, scene: World, at_level) -> None:
    at_level("rlimits")
    outcome = attack(BY_NAME[name], scene, allow_weak_isolation=True)
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
