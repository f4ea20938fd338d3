# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Ten bugs of your own
# A corpus is a text file with a pair of programs on each line: one with its
# bug, one without. Ten are enough to begin. They are checked, sent over a
# link, and run through a study.

# %%
import json
import logging
import tempfile
import warnings
from pathlib import Path

import pandas as pd
from rich.console import Console

from llm_bridge import (
    RadioSettings,
    items_of,
    load_recipe,
    load_study,
    run_recipe,
    send_items,
)
from llm_bridge.corpora import checks, own_corpus

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
folder = Path(tempfile.mkdtemp())  # or a folder of yours
console = Console(width=100, force_jupyter=False, force_terminal=False)

# %% [markdown]
# ## Write them
# The bug of each is in one line. Here each is told as the right line, the
# wrong one, and cases: arguments, expected value.

# %%
BUGS = [
    ("mean(x)", "return sum(x) / len(x)", "return sum(x) / (len(x) - 1)", [[[[1, 2, 3]], 2.0]]),
    ("largest(x)", "return max(x)", "return min(x)", [[[[1, 5]], 5]]),
    ("is_even(n)", "return n % 2 == 0", "return n % 2 == 1", [[[4], True]]),
    ("last(x)", "return x[-1]", "return x[0]", [[[[1, 2]], 2]]),
    ("area(a, b)", "return a * b", "return a + b", [[[3, 4], 12]]),
    ("at_least(a, b)", "return a >= b", "return a > b", [[[2, 2], True]]),
    ("squares(n)", "return [i * i for i in range(n)]", "return [i * 2 for i in range(n)]", [[[4], [0, 1, 4, 9]]]),
    ("words(s)", "return len(s.split())", "return len(s)", [[["a bc"], 2]]),
    ("clip(x, low, high)", "return max(low, min(x, high))", "return min(low, max(x, high))", [[[5, 0, 3], 3]]),
    ("positive(x)", "return [v for v in x if v > 0]", "return [v for v in x if v < 0]", [[[[-1, 2]], [2]]]),
]
lines = []
for signature, right, wrong, tests in BUGS:
    pair = {
        "name": signature.split("(")[0],
        "buggy": f"def {signature}:\n    {wrong}\n",
        "correct": f"def {signature}:\n    {right}\n",
        "tests": tests,
    }
    lines.append(json.dumps(pair))
mine = folder / "mine.jsonl"
mine.write_text("\n".join(lines) + "\n")
print(lines[0])

# %% [markdown]
# ## Check them
# In a terminal: `python -m llm_bridge corpora check mine.jsonl`, which also
# runs the cases in a sandbox.

# %%
pairs, problems = own_corpus.read(mine)
print(len(pairs), "pairs, problems:", problems)
print("the longer text is the correct one:", checks.check(pairs).longer_bytes)

# %% [markdown]
# ## Send them
# Each version crosses the link as packets of 48 bytes; a lost one leaves a
# gap.

# %%
items = items_of(pairs)
rows = []
for sf in (7, 9):
    settings = RadioSettings(sf=sf, snr_db=-9.0, fading="rayleigh")
    received = send_items(items, settings)
    rows.append({"sf": sf, "sent": len(items),
                 "intact": sum(item.intact for item in received),
                 "airtime_s": sum(item.damage.airtime_s for item in received)})
pd.DataFrame(rows)

# %% [markdown]
# ## Run a study on them
# `toy` shows that everything works; `demo` takes a real small model.

# %%
recipe = load_recipe(
    "toy",
    [
        f"corpus.test=['file:{mine}']",
        "training.methods=['rules', 'zero-shot']",
        "radio.snr_db=[-10.0]",
        "radio.sf=[7]",
    ],
)
run_recipe(recipe, folder / "run", console=console)
study = load_study(folder / "run")
pd.DataFrame(
    {"corpus": p.corpus, "task": p.task, "method": p.method, "f1": p.f1, "programs": p.num_programs}
    for p in study.points
).head(8)
