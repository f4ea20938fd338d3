"""Run programs of our own in one subprocess with a time limit a case: outcomes as data, compared here."""

import json
import subprocess
import sys
from collections.abc import Sequence

_CHILD = """
import json, signal, sys

class TimeUp(BaseException):
    pass

def on_alarm(*_):
    raise TimeUp

signal.signal(signal.SIGALRM, on_alarm)
outcomes = []
for source, entry_point, arguments in json.load(sys.stdin):
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        names = {}
        exec(source, names)
        outcome = ["value", names[entry_point](*arguments)]
        json.dumps(outcome)
    except TimeUp:
        outcome = ["timeout", None]
    except Exception as error:
        outcome = ["error", type(error).__name__]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    outcomes.append(outcome)
json.dump(outcomes, sys.stdout)
"""


def run_calls(calls: Sequence[tuple[str, str, list]]) -> list[tuple[str, object]]:
    """Outcome ``("value" | "error" | "timeout", result)`` of each ``(source, function name, arguments)``."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _CHILD], input=json.dumps(calls), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [(kind, value) for kind, value in json.loads(done.stdout)]
