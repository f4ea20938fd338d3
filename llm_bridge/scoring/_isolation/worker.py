"""Inside the cage: run the program's cases one by one, as the parent asks for them.

The parent sends ``{"id", "load": source}``, then ``{"id", "call": arguments, "consume": which}`` for a list case;
``{"id", "collect": true}``, then ``{"id", "run": index}`` for a case of a pytest module. Answers carry the id:

    load     {"id", "loaded": bool}
    call     {"id", "value": plain value}, or {"id", "raised": true}
    collect  {"id", "cases": count}
    run      {"id", "outcome": "passed" | "failed" | "skipped"}

The program shares this interpreter and may change anything in it. Nothing here is a defence against that: the expected
values are not here, the parent checks every answer, and the cage holds whatever the program does.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import types
from collections.abc import Callable

from . import library, wire

TYPE_CHECKING = False  # `typing` costs a tenth of a start
if TYPE_CHECKING:
    from typing import Any

    from .wire import JobFrame

Serve = Callable[[int, int], None]
_MAX_ITEMS = 200_000


def prepare(job: JobFrame, base: str) -> Serve:
    """What serves `job`, with its imports done before the cage is closed.

    Nothing of the program's is on the search path here: pytest and what it imports are the standard library's and the
    judge's own. The program's folder comes last, once the cage is closed.
    """
    box = f"{base}/box"
    sys.path[:] = job["library"]
    library.keep_listing(job["library"])
    if job["mode"] == "cases":
        return lambda requests, replies: _serve_cases(job["entry_point"], box, requests, replies)
    sys.path.append(f"{base}/site")
    import pytest

    return lambda requests, replies: _serve_module(pytest, f"{box}/{job['test_file']}", requests, replies)


def _serve_cases(entry_point: str, box: str, requests: int, replies: int) -> None:
    function: Any = None
    sys.path.append(box)
    while True:
        try:
            request: Any = wire.read_frame(requests)
        except EOFError:
            return
        answer = {"id": request["id"]}
        try:
            if "load" in request:
                function = _load(request["load"], entry_point)
                answer["loaded"] = True
            else:
                result = function(*[wire.decode(item) for item in request["call"]])
                if request["consume"] == "all" or (request["consume"] == "generators" and _is_generator(result)):
                    result = _consume(result)
                answer["value"] = wire.encode(result)
        except BaseException:  # SystemExit and KeyboardInterrupt are the program's too
            answer["loaded" if "load" in request else "raised"] = "load" not in request
        wire.write_frame(replies, answer)


def _load(source: str, entry_point: str) -> Callable[..., object]:
    """Run the program's text as a module, and find its function."""
    module = types.ModuleType("program_under_test")
    sys.modules[module.__name__] = module  # dataclasses and pickle look the module up by name
    exec(compile(source, "program.py", "exec", dont_inherit=True), module.__dict__)
    function: Callable[..., object] = module.__dict__[entry_point]
    if not callable(function):
        raise TypeError("the entry point is not a function")
    return function


def _is_generator(result: object) -> bool:
    return issubclass(type(result), types.GeneratorType)


def _consume(result: Any) -> list[object]:
    """Items of a generator or another iterable, as a list; infinite ones end here or at the time limit."""
    items = []
    for item in result:
        items.append(item)
        if len(items) > _MAX_ITEMS:
            raise OverflowError("too many items")
    return items


def _serve_module(pytest: Any, test_file: str, requests: int, replies: int) -> None:
    """Collect the module with pytest, then run the tests that the parent names."""
    first: Any = wire.read_frame(requests)
    plugin = _Plugin(first["id"], requests, replies)
    folder = os.path.dirname(test_file)
    sys.path.append(folder)
    options = ["-q", "-s", "-c", os.devnull, "--rootdir", folder, "--confcutdir", folder, "--import-mode=append"]
    # pytest's log goes to /dev/null; opening that for appending empties nothing, which seccomp would refuse
    options += ["-o", "log_file_mode=a", test_file]
    for name in ("cacheprovider", "faulthandler", "tmpdir"):
        options += ["-p", f"no:{name}"]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(options, plugins=[plugin])
    if not plugin.served:
        wire.write_frame(replies, {"id": first["id"], "cases": 0})


class _Plugin:
    """pytest's view of the parent: it asks, we run one test and answer."""

    def __init__(self, first_id: int, requests: int, replies: int) -> None:
        self.first_id, self.requests, self.replies = first_id, requests, replies
        self.served = False
        self.outcomes: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.outcomes.append(report.outcome)

    def pytest_runtestloop(self, session: Any) -> bool:
        if session.testsfailed:
            return True  # the module could not be imported
        self.served = True
        wire.write_frame(self.replies, {"id": self.first_id, "cases": len(session.items)})
        while True:
            try:
                request: Any = wire.read_frame(self.requests)
            except EOFError:
                return True
            self.outcomes.clear()
            item = session.items[request["run"]]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            outcome = "failed" if "failed" in self.outcomes else "skipped" if "skipped" in self.outcomes else "passed"
            wire.write_frame(self.replies, {"id": request["id"], "outcome": outcome})
