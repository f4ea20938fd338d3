"""Draw what the benchmarks of speed left in docs/results, from the repository's root:

    python docs/gallery/make_speed.py

writes docs/explanation/speed.md and docs/gallery/speed.svg, and adds the headlines of a new commit to
docs/results/speed_history.json. `make bench` measures first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parents[1]
RESULTS, PAGE, FIGURE = DOCS / "results", DOCS / "explanation" / "speed.md", DOCS / "gallery" / "speed.svg"
HISTORY = RESULTS / "speed_history.json"
FILES = {  # file: (heading, what stands in the table)
    "bench_fft.json": ("Bare FFT, and Gaussians", "The transform of the kernels against others, rows of one symbol."),
    "bench_fused_link.json": (
        "The link",
        "Symbol, chirp, noise, dechirping, FFT and decision in one pass, against the same in numpy with scipy's or"
        " pyFFTW's transform; *same noise*: with our generator on both sides.",
    ),
    "bench_modem.json": ("Modulating and demodulating", "Ordinary IQ in and out."),
    "bench_channel.json": (
        "Channels",
        "Links through a channel against the link through noise alone: below 1 is slower.",
    ),
    "receiver_speed.json": (
        "Receiver",
        "A stream received whole, soft, against the bare FFT (scipy) of its samples: what it costs beyond the least"
        " that any receiver must do.",
    ),
    "bench_gateway.json": ("Gateway", "Eight channels, SF7 to SF12 in each, out of one stream, on one core; the same."),
    "transport_speed.json": ("Texts", "A frame of text, from text to text, against the bare FFT of a frame's samples."),
    "bench_collect.json": ("Error rates with the receiver", "Two processes against one."),
    "bench_scaling.json": ("Batches and threads", "Nanoseconds a sample."),
    "bench_start.json": ("Start", "The first call, from a full cache, against an import of numpy, scipy and numba."),
}
SPEEDS = {
    "msamples_per_s": "MS/s", "times_real_time": "× real time", "us_per_frame": "µs a frame",
    "ns_per_sample": "ns a sample", "cold_s": "cold, s", "cached_s": "cached, s", "us_cpu_per_frame": "µs a frame",
    "frames_per_s": "frames a second",
}  # fmt: skip
HEADLINES = {
    "FFT SF7 × pyFFTW": ("bench_fft.json", "fft sf7", "pyfftw"),
    "FFT SF12 × pyFFTW": ("bench_fft.json", "fft sf12", "pyfftw"),
    "link SF7 × numpy + scipy": ("bench_fused_link.json", "link sf7", "numpy+scipy"),
    "link SF12 × numpy + scipy": ("bench_fused_link.json", "link sf12", "numpy+scipy"),
    "receiver SF7, 64 bytes × FFT": ("receiver_speed.json", "receiver sf7 64 bytes", "bare FFT"),
    "gateway 2 MS/s, frames × FFT": ("bench_gateway.json", "gateway 2 MS/s frames", "bare FFT"),
    "texts SF7 × FFT": ("transport_speed.json", "texts sf7 4/5 fastest", "bare FFT"),
}


def read_results() -> dict[str, dict[str, Any]]:
    """Results by file, of those whose cases have names."""
    found = {}
    for file in FILES:
        path = RESULTS / file
        record = json.loads(path.read_text()) if path.exists() else {}
        if record.get("results") and all("case" in case for case in record["results"]):
            found[file] = record
    return found


def headlines(results: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The ratios that the history follows."""
    found = {}
    for name, (file, wanted, against) in HEADLINES.items():
        for case in results.get(file, {}).get("results", []):
            if case["case"] == wanted and against in case.get("ratio", {}):
                found[name] = round(case["ratio"][against], 4)
    return found


def extend_history(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The history with a row for the commit that the results were made at, which replaces an older row of it."""
    rows: list[dict[str, Any]] = json.loads(HISTORY.read_text()) if HISTORY.exists() else []
    commits = {record.get("commit") for record in results.values()}
    for commit in sorted(commit for commit in commits if commit):
        of_commit = {file: record for file, record in results.items() if record.get("commit") == commit}
        record = next(iter(of_commit.values()))
        row = {"commit": commit, "date": record["date"], "cpu": record["machine"]["cpu"], **headlines(of_commit)}
        rows = [old for old in rows if old["commit"] != commit] + [row]
    rows.sort(key=lambda row: row["date"])
    HISTORY.write_text("[\n " + ",\n ".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
    return rows


def draw(rows: list[dict[str, Any]]) -> None:
    """Every headline over the commits, on a logarithmic axis."""
    plt.rcParams["svg.hashsalt"] = "speed"
    figure, axes = plt.subplots(figsize=(5.2, 4.2), layout="tight")
    for name in HEADLINES:
        points = [(place, row[name]) for place, row in enumerate(rows) if name in row]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", markersize=3, label=name)
    axes.set_yscale("log")
    axes.set_xticks(range(len(rows)), [f"{row['commit'].split('-')[0]}\n{row['date']}" for row in rows], fontsize=6)
    axes.set_ylabel("times as fast")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize="x-small", frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    figure.savefig(FIGURE, metadata={"Date": None})


def section(file: str, record: dict[str, Any]) -> str:
    """Heading, conditions and table of one benchmark."""
    heading, words = FILES[file]
    names = list(dict.fromkeys(name for case in record["results"] for name in case.get("ratio", {})))
    speeds = [key for key in SPEEDS if any(key in case for case in record["results"])]
    lines = [["case", *(SPEEDS[key] for key in speeds), *(f"× {name}" for name in names)]]
    lines.append(["---"] * len(lines[0]))
    for case in record["results"]:
        cells = [case["case"], *(speed(case.get(key)) for key in speeds)]
        lines.append([*cells, *(times(case, name) for name in names)])
    machine = record["machine"]
    versions = ", ".join(
        f"{key} {machine[key]}" for key in ("python", "numba", "numpy", "scipy", "pyfftw") if machine[key]
    )
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['vector'])}, load {machine['load_average']:.1f}"
    )
    made = f"commit {record['commit']}, {record['date']}; " if record.get("commit") else ""
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"## {heading}\n{words}\n\n{table}\n\n`{file}`: {made}{where}; {versions}; {record['clock']} time.\n"


def speed(value: Any) -> str:
    """A number, or the one of our own among several contestants."""
    if isinstance(value, dict):
        value = next((value[name] for name in ("fused", "lanes", "demodulate", "processes") if name in value), None)
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def times(case: dict[str, Any], name: str) -> str:
    """A ratio with the spread of its rounds."""
    value, spread = (case.get(kind, {}).get(name) for kind in ("ratio", "spread"))
    if value is None:
        return "–"
    return f"{value:.3g}" + (f" ({spread:.0%})" if spread else "")


def main() -> None:
    """Write the page, the figure and the history."""
    results = read_results()
    rows = extend_history(results)
    draw(rows)
    absent = [file for file in FILES if file not in results]
    text = """# Speed
Written by [`make_speed.py`](../gallery/make_speed.py) from what `make bench` leaves in `docs/results/`. Columns with ×
say how many times as fast ours is: the median over rounds in which both took turns in one process, in parentheses the
distance between the rounds' quartiles over the median. These ratios carry over to other machines, speeds do not: a busy
machine slows both, and a load above 0.5 says that it was one. `python benchmarks/compare.py OLD NEW` ends with status 1
where a ratio fell by more than 10 % beyond that scatter.

![Ratios over commits](../gallery/speed.svg)

"""
    text += "\n".join(section(file, record) for file, record in results.items())
    if absent:
        text += "\nWithout a result in this form: " + ", ".join(f"`{file}`" for file in absent) + ".\n"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
