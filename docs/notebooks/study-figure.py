# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A study from Python, with a figure of your own
# How much of a program arrives, over the spreading factor and the SNR, and
# what a repetition buys. No model is asked and no torch is needed: this is
# the *channel stage*, which every study begins with.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import llm_bridge
from llm_bridge import RadioSettings, items_of, load_study, send_items
from llm_bridge.corpora import minibugs

# %% [markdown]
# ## Texts over links
# Twelve programs of the embedded corpus MiniBugs, both versions, under
# Rayleigh fading. `max_attempts=2` sends everything twice.

# %%
items = items_of(minibugs.load()[:12])
rows = []
for sf in (7, 8, 9, 10):
    for snr_db in (-16.0, -12.0, -8.0, -4.0):
        for attempts in (1, 2):
            settings = RadioSettings(sf=sf, snr_db=snr_db, fading="rayleigh", max_attempts=attempts)
            received = send_items(items, settings)
            damage = [item.damage for item in received]
            lost = sum(d.fragments_lost for d in damage)
            sent = sum(d.fragments_sent for d in damage)
            rows.append({
                "sf": sf, "snr_db": snr_db, "attempts": attempts,
                "intact": sum(item.intact for item in received) / len(items),
                "lost": lost / sent, "airtime_s": sum(d.airtime_s for d in damage),
            })
frame = pd.DataFrame(rows)
frame[frame.snr_db == -8.0].round(3)

# %% [markdown]
# ## The figure
# Programs that arrive undamaged over the seconds that it took: is a second
# attempt at a low SF, or one at a higher SF, the better use of airtime?

# %%
fig, ax = plt.subplots(figsize=(8, 4), layout="tight")
colours = dict(zip((7, 8, 9, 10), plt.get_cmap("viridis")([0, 0.3, 0.6, 0.85]), strict=True))
for (sf, attempts), group in frame[frame.snr_db == -8.0].groupby(["sf", "attempts"]):
    ax.scatter(group.airtime_s, group.intact, s=60, color=colours[sf],
               marker="os"[attempts - 1], label=f"SF{sf}, {attempts} ×")
ax.set(xlabel="seconds on air for 24 texts", ylabel="share of texts intact",
       xscale="log", ylim=(0, 1.02))
ax.grid(alpha=0.3)
ax.legend(frameon=False, ncols=2)
plt.show()

# %% [markdown]
# ## A published study
# The results of whole studies are in the repository. A figure of one of
# them, from its points: F1 over what the link destroyed.

# %%
clone = Path(llm_bridge.__file__).parents[1]
study = load_study(clone / "docs/results/texture")
points = pd.DataFrame(
    {"task": p.task, "method": p.method, "sf": p.sf, "f1": p.f1, "loss": p.link.level}
    for p in study.points
    if p.task == "localise" and p.link is not None
)
points.groupby(["method", "loss"]).f1.mean().unstack().round(3)

# %%
fig, ax = plt.subplots(figsize=(8, 3.6), layout="tight")
for method, group in points.groupby("method"):
    by_sf = group.groupby("sf").f1.mean()
    ax.plot(by_sf.index, by_sf, "o-", label=method)
ax.set(xlabel="spreading factor", ylabel="F1 of localise", ylim=(0, None))
ax.legend(frameon=False)
plt.show()
