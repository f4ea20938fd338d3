"""Faults on purpose, counted: kill −9 at random moments, full disks, folders that cannot be written or locked, clocks.

    an undisturbed run ─► its numbers          the same run, disturbed, then run again ─► the same numbers?

    make soak                                  an hour, and the table in docs/explanation/reliability.md
    python benchmarks/soak.py --quick          about two minutes of an idle machine

Every fault is real but two, which a patched standard library plays: file locks that the file system does not have, and
a clock that goes back. Disks are small file systems in memory, in a mount namespace of their own (``unshare``, Linux).
What cannot be tried on a machine is a row that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_bridge.files import file_digest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "reliability.md"
START, END = "<!-- table: benchmarks/soak.py -->", "<!-- end of table -->"
LIMIT_S = 900.0
COLLECT = """
import json, sys
from lora_phy import LoRaParams, collect
from lora_phy.monte_carlo.points import LinkPoint
points = [LinkPoint(LoRaParams(sf=7), snr, 16, sync="perfect", decoding="hard") for snr in (-11.0, -10.0, -9.0)]
try:
    found = collect(points, max_frames=int(sys.argv[2]), max_errors=None, seed=7, engine="bins", save_to=sys.argv[1])
except OSError as error:  # what a caller of the library sees; the commands print it themselves
    sys.exit(f"error: {error}" if sys.argv[1] in str(error) else f"unnamed: Traceback of {error!r}")
print(json.dumps([[result.counts.frames, result.counts.frame_errors] for result in found]))
"""
# played by the standard library of the process under test
NO_LOCKS = "import errno, fcntl\ndef none(*_): raise OSError(errno.ENOLCK, 'No locks available')\n"
NO_LOCKS += "fcntl.flock = fcntl.lockf = none\n"
CLOCK = "import time\nstart, real = time.time(), time.time\ntime.time = lambda: start - 3600 - 5 * (real() - start)\n"


@dataclass
class Row:
    """Counts of one fault.

    Attributes
    ----------
    fault, tried
        What was done, and how often it took effect.
    same
        How often the numbers were those of the undisturbed run in the end.
    refused
        How often the disturbed run itself ended with an error of one or two lines.
    tracebacks
        How often a run showed a traceback, or ended by itself in an unknown way.
    note
        Why a fault was not tried.
    """

    fault: str
    tried: int = 0
    same: int = 0
    refused: int = 0
    tracebacks: int = 0
    note: str = ""


@dataclass(frozen=True)
class Job:
    """A command that writes into a folder, and what it leaves there.

    Attributes
    ----------
    name
        As in the table.
    command
        Called with the folder; the arguments of the process.
    numbers
        Called with the folder and the standard output of a finished run.
    """

    name: str
    command: Callable[[Path], list[str]]
    numbers: Callable[[Path, str], str]


def jobs(frames: int) -> tuple[Job, Job]:
    """`collect` of three points, and `run` of a small recipe with its report."""
    study = ["toy", "--set", "corpus.limit=3", "training.methods=['rules']", "score.bootstrap=100", "radio.sf=[7]"]

    def run(folder: Path) -> list[str]:
        return [sys.executable, "-m", "llm_bridge", "run", *study, "--out", str(folder / "study")]

    def rows(folder: Path, said: str) -> str:
        return (folder / "study" / "results.csv").read_text()

    return (
        Job("collect", lambda folder: [sys.executable, "-c", COLLECT, str(folder / "results.jsonl"), str(frames)],
            lambda folder, said: said.strip().splitlines()[-1]),
        Job("run", run, rows),
    )  # fmt: skip


def download() -> Job:
    """`models fetch` of the smallest model, and the hashes of all that it leaves (nothing half done among it)."""

    def fetch(folder: Path) -> list[str]:
        return ["env", f"CHIRPBRIDGE_CACHE={folder}", sys.executable, "-m", "llm_bridge", "models", "fetch"]

    def files(folder: Path, said: str) -> str:
        found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
        return json.dumps({str(path.relative_to(folder)): file_digest(path) for path in found})

    return Job("models fetch", fetch, files)


class Soak:
    """The faults, one method each; each adds a row."""

    def __init__(self, folder: Path, seed: int, log: Callable[[str], None]) -> None:
        self.folder, self.random, self.log = folder, random.Random(seed), log
        self.rows: list[Row] = []
        self.expected: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self._count = 0

    def undisturbed(self, job: Job) -> None:
        """What the numbers are, and how long they take (the second time, when all is compiled)."""
        for _ in range(2):
            place = self.fresh()
            start = time.monotonic()
            done = self.run(job.command(place))
            self.seconds[job.name] = time.monotonic() - start
            if done.returncode:
                raise SystemExit(f"the undisturbed {job.name} failed:\n{done.stdout}{done.stderr}")
            self.expected[job.name] = job.numbers(place, done.stdout)

    def fetched(self, times: int) -> None:
        """Kill −9 of `models fetch` at random moments, where the model can be downloaded."""
        job = download()
        if self.run(job.command(self.fresh())).returncode:
            self.rows.append(Row(f"kill −9 of `{job.name}`", note="not tried: no download here"))
            return
        self.undisturbed(job)
        self.killed(job, times)

    def fresh(self) -> Path:
        """An empty folder."""
        self._count += 1
        place = self.folder / f"place{self._count}"
        place.mkdir()
        return place

    def run(self, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, timeout=LIMIT_S
        )

    def judge(self, row: Row, job: Job, place: Path, done: subprocess.CompletedProcess[str]) -> bool:
        """Count the outcome of a run that should have ended well."""
        row.tracebacks += "Traceback" in done.stderr + done.stdout
        same = done.returncode == 0 and job.numbers(place, done.stdout) == self.expected[job.name]
        row.same += same
        if not same:
            self.log(f"NOT THE SAME ({row.fault}): exit {done.returncode}\n{done.stdout[-500:]}{done.stderr[-1500:]}")
        return same

    def refusal(self, row: Row, done: subprocess.CompletedProcess[str]) -> None:
        """Count the outcome of a run that may fail, but in words."""
        said = done.stdout + done.stderr
        if "Traceback" in said or done.returncode < 0:
            row.tracebacks += 1
            self.log(f"TRACEBACK ({row.fault}): exit {done.returncode}\n{said[-1500:]}")
        elif done.returncode:
            row.refused += 1

    def killed(self, job: Job, times: int, *, extra: tuple[str, ...] = (), child: bool = False) -> None:
        """Kill −9 at random moments, up to three times in a row, then run to the end.

        `child`: one of the workers is killed, and the run goes on or ends by itself.
        """
        what = "a worker of " if child else ""
        row = Row(f"kill −9 of {what}`{' '.join([job.name, *extra])}`")
        self.rows.append(row)
        while row.tried < times:
            place = self.fresh()
            command = [*job.command(place), *extra]
            kills = 0
            for _ in range(self.random.randint(1, 3)):
                process = subprocess.Popen(
                    command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
                )
                while child and process.poll() is None and not _children(process.pid):
                    time.sleep(0.05)  # there are no workers yet
                try:
                    earliest, latest = (0.0, 0.5) if child else (0.05, 1.0)
                    process.wait(self.random.uniform(earliest, latest) * self.seconds[job.name])
                except subprocess.TimeoutExpired:
                    victims = _children(process.pid) if child else []
                    if victims:
                        os.kill(self.random.choice(victims), signal.SIGKILL)
                    elif not child:
                        os.killpg(process.pid, signal.SIGKILL)  # its workers with it
                    kills += not child or bool(victims)
                process.wait(LIMIT_S)
            if not kills:
                if not child:
                    self.seconds[job.name] *= 0.9  # it was faster than the run that was timed
                continue
            row.tried += kills
            done = self.run(command)
            before = row.same
            self.judge(row, job, place, done)
            row.same += (kills - 1) * (row.same - before)
            shutil.rmtree(place)

    def reported(self, job: Job, times: int) -> None:
        """Kill −9 of `report` at random moments: the next report is that of an undisturbed one."""
        row = Row("kill −9 of `report`")
        self.rows.append(row)
        place = self.fresh()
        self.run(job.command(place))
        command = [sys.executable, "-m", "llm_bridge", "report", str(place / "study")]
        start = time.monotonic()
        self.run(command)
        seconds = time.monotonic() - start
        while row.tried < times:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(self.random.uniform(0.3, 1.0) * seconds)
                seconds *= 0.9
                continue
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            row.tried += 1
            self.judge(row, job, place, self.run(command))

    def full_disk(self, job: Job, sizes_kb: list[int]) -> None:
        """A disk too small, then enlarged: an error in words, and nothing lost."""
        few, most = min(sizes_kb), max(sizes_kb)
        disks = f"a disk of {few} kB" if few == most else f"disks of {len(sizes_kb)} sizes, {few} to {most} kB"
        row = Row(f"`{job.name}` on {disks}, then enlarged")
        self.rows.append(row)
        self._mounted(row, job, [(f"size={size}k", "remount,size=1g") for size in sizes_kb])

    def read_only(self, job: Job, times: int) -> None:
        """A file system mounted read-only, then writable."""
        row = Row(f"`{job.name}` into a read-only folder, then a writable one")
        self.rows.append(row)
        self._mounted(row, job, [("ro,size=1g", "remount,rw,size=1g")] * times)

    def _mounted(self, row: Row, job: Job, ways: list[tuple[str, str]]) -> None:
        can = _has("unshare") and subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0

        if not can:
            row.note = "not tried: no mount namespaces here"
            return
        for first, second in ways:
            place, out = self.fresh(), self.fresh()
            command = " ".join(_quoted(word) for word in job.command(place))
            script = f"""
                mount -t tmpfs -o {first} none {place} || exit 99
                {command} >{out}/said1 2>{out}/error1; echo $? >{out}/code1
                mount -o {second} {place} || exit 98
                {command} >{out}/said2 2>{out}/error2; echo $? >{out}/code2
                cp -r {place}/. {out}/
            """
            done = self.run(["unshare", "-rm", "sh", "-c", script])
            if done.returncode in (98, 99) or not (out / "code2").exists():
                row.note = f"not tried: {done.stderr.strip()[:80]}"
                return
            row.tried += 1
            outcomes = [_outcome(out, number) for number in (1, 2)]
            self.refusal(row, outcomes[0])
            self.judge(row, job, out, outcomes[1])
            shutil.rmtree(out)

    def played(self, job: Job, what: str, code: str, times: int) -> None:
        """A fault that the standard library plays: the run ends well, or in words and then well without the fault."""
        row = Row(f"`{job.name}` {what}")
        self.rows.append(row)
        hook = self.fresh()
        (hook / "sitecustomize.py").write_text(code)
        for _ in range(times):
            place = self.fresh()
            row.tried += 1
            done = self.run(job.command(place), PYTHONPATH=str(hook))
            self.refusal(row, done)
            self.judge(row, job, place, self.run(job.command(place)) if done.returncode else done)

    def twice_at_once(self, job: Job, times: int) -> None:
        """Two of the same run in one folder: each ends well, or in words; then one more."""
        row = Row(f"two of `{job.name}` at once in one folder")
        self.rows.append(row)
        for _ in range(times):
            place = self.fresh()
            row.tried += 1
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            both = [subprocess.Popen(job.command(place), cwd=ROOT, **pipes) for _ in range(2)]
            for process in both:
                said, error = process.communicate(timeout=LIMIT_S)
                self.refusal(row, subprocess.CompletedProcess([], process.returncode, said, error))
            self.judge(row, job, place, self.run(job.command(place)))


def _outcome(folder: Path, number: int) -> subprocess.CompletedProcess[str]:
    """What one of the runs inside a mount namespace left of itself."""
    said, error, code = ((folder / f"{name}{number}").read_text() for name in ("said", "error", "code"))
    return subprocess.CompletedProcess([], int(code), said, error)


def _has(name: str) -> bool:
    return shutil.which(name) is not None


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _children(pid: int) -> list[int]:
    """Processes below one, on Linux, but the one that only counts shared memory."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(one for one in found - {pid} if b"resource_tracker" not in _command_of(one))


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def table(rows: list[Row], about: str) -> str:
    """The counts as a table in Markdown."""
    head = "| fault | tried | same numbers in the end | ended in words | tracebacks |"
    lines = [about, "", head, "|---|---|---|---|---|"]
    for row in rows:
        if row.note:
            lines.append(f"| {row.fault} | {row.note} | | | |")
        else:
            lines.append(f"| {row.fault} | {row.tried} | {row.same} | {row.refused} | {row.tracebacks} |")
    return "\n".join(lines) + "\n"


def write_page(text: str) -> None:
    """Put the table between its marks in the page."""
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(START)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{START}\n{text}{END}{tail}", encoding="utf-8")


def main() -> None:
    """Run the soak, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few of each fault instead of an hour of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--json", type=Path, help="write the counts as JSON")
    options = parser.parse_args()
    quick = options.quick
    start = time.monotonic()

    def log(text: str) -> None:
        print(f"[{time.monotonic() - start:6.0f} s] {text}", file=sys.stderr, flush=True)

    collect, run = jobs(20_000 if quick else 200_000)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(Path(folder), options.seed, log)
        for job in (collect, run):
            soak.undisturbed(job)
            log(f"{job.name} undisturbed: {soak.seconds[job.name]:.1f} s")
        sizes = [4, 12, 64] if quick else [4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
        steps: list[tuple[str, Callable[[], None]]] = [
            ("kill collect", lambda: soak.killed(collect, 10 if quick else 90)),
            ("kill run", lambda: soak.killed(run, 3 if quick else 70)),
            ("kill report", lambda: soak.reported(run, 2 if quick else 20)),
            ("disks of collect", lambda: soak.full_disk(collect, sizes)),
            ("disks of run", lambda: soak.full_disk(run, sizes[1:2] if quick else sizes)),
            ("read-only collect", lambda: soak.read_only(collect, 1 if quick else 3)),
            ("read-only run", lambda: soak.read_only(run, 1 if quick else 3)),
            ("no locks", lambda: soak.played(run, "where files cannot be locked", NO_LOCKS, 1 if quick else 3)),
            ("clock of collect", lambda: soak.played(collect, "with a clock that goes back", CLOCK, 1 if quick else 3)),
            ("clock of run", lambda: soak.played(run, "with a clock that goes back", CLOCK, 1 if quick else 3)),
            ("two of collect", lambda: soak.twice_at_once(collect, 1 if quick else 5)),
            ("two of run", lambda: soak.twice_at_once(run, 1 if quick else 5)),
        ]
        if not quick:
            steps += [
                ("two workers", lambda: soak.killed(run, 20, extra=("--workers", "2"))),
                ("a worker", lambda: soak.killed(run, 10, extra=("--workers", "2"), child=True)),
                ("a dask worker", lambda: soak.killed(run, 10, extra=("--cluster", "local"), child=True)),
                ("kill models fetch", lambda: soak.fetched(20)),
            ]
        for name, step in steps:
            step()
            log(f"{name}: {asdict(soak.rows[-1])}")
    kind = "quick" if quick else "full"
    seconds = time.monotonic() - start
    where = f"Linux {platform.release()}, Python {platform.python_version()}"
    about = f"The {kind} soak, seed {options.seed}, {seconds / 60:.0f} min, {where}:"
    if quick:
        soak.rows.append(Row("workers and dask workers killed, `models fetch`", note="not tried by the quick soak"))
    text = table(soak.rows, about)
    print(text)
    if options.write:
        write_page(text)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in soak.rows], indent=1) + "\n")
    bad = [row for row in soak.rows if not row.note and (row.same < row.tried or row.tracebacks)]
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
