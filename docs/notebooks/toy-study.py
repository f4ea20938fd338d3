# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A study: run, interrupt, continue, and the results in pandas
# A *study* sends programs over a LoRa (the radio) link, trains a language
# model, with LoRA (the adapter) or without, and scores what it makes of what
# arrived. `toy` does all of it with a random model of two layers: its scores
# mean nothing, and everything else is as in a real study.

# %%
import logging
import shutil
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from rich.console import Console

from llm_bridge import load_recipe, load_study, run_recipe

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
folder = Path(tempfile.mkdtemp())  # or a folder of yours
console = Console(width=100, force_jupyter=False, force_terminal=False)

# %% [markdown]
# ## Run
# A recipe is a TOML file, or the name of a published one; any value can be
# changed. In a terminal:
# `python -m llm_bridge run toy --out runs/toy --set corpus.limit=12`.

# %%
overrides = [
    "training.methods=['rules', 'full']",
    "radio.snr_db=[-10.0, inf]",  # a lossy link and a clean one
    "corpus.limit=12",  # twelve programs
    "score.bootstrap=500",
]
recipe = load_recipe("toy", overrides)
report = run_recipe(recipe, folder / "toy", console=console)
print(report.name, sorted(path.suffix for path in report.parent.glob("results*")))

# %% [markdown]
# ## Interrupt and continue
# Each cell of the grid is a folder of its own, written when it is finished.
# An interruption, by a key or a power cut, loses the one at work. In a
# terminal Ctrl-C ends with the command that continues. Here a finished cell
# is taken away instead; the same call computes it again, and nothing else.

# %%
cells = sorted(path.parent for path in (folder / "toy").glob("*/result.json"))
before = pd.read_csv(folder / "toy" / "results.csv")
shutil.rmtree(cells[0])
print(len(cells), "cells; one is missing now")
run_recipe(recipe, folder / "toy", console=Console(quiet=True))
after = pd.read_csv(folder / "toy" / "results.csv")
print("the same numbers:", before["f1"].equals(after["f1"]))

# %% [markdown]
# ## The results in pandas
# `results.csv` has a row for each cell and task; `load_study` gives points
# over all seeds, with intervals; `items.jsonl` has a row for each program
# that was judged, with the setting of its cell.

# %%
study = load_study(folder / "toy")
points = pd.DataFrame(
    {
        "task": point.task,
        "method": point.method,
        "sf": point.sf,
        "snr_db": point.link.snr_db if point.link else None,
        "f1": point.f1,
        "programs": point.num_programs,
    }
    for point in study.points
)
points[points.task == "localise"].head(8)

# %%
lossy = points[(points.task == "localise") & (points.snr_db == -10)]
table = lossy.pivot(index="sf", columns="method", values="f1")
ax = table.plot.bar(figsize=(7, 3.2), rot=0, color=["#0072B2", "#E69F00"])
ax.set(xlabel="spreading factor", ylabel="F1 of localise (means nothing here)")
plt.show()

# %%
items = pd.read_json(folder / "toy" / "items.jsonl", lines=True)
print(len(items), "judged items")
keys = ["method", "sf", "snr_db"]
right = items[items.task == "localise"].groupby(keys, dropna=False)
right.correct.mean().unstack()  # NaN: the clean link (JSON has no infinity)
