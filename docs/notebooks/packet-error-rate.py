# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Packet error rate of the whole receiver
# `collect` sends random frames through a channel and the whole receiver,
# until a stopping rule is met. It keeps what is done in a file, continues
# from it, and gives the same numbers with any number of processes.

# %%
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from lora_phy import (
    ChannelParams,
    LinkPoint,
    LoRaParams,
    collect,
    load_results,
    replay_frame,
    results_table,
)
from lora_phy.plotting import plot_waterfall
from lora_phy.studies.tables import save

folder = Path(tempfile.mkdtemp())  # or a folder of yours

# %% [markdown]
# ## Points and a stopping rule
# A point is everything about a link but its random draws. Here: SF7 with
# 16 bytes, 1200 Hz carrier offset, the receiver on its own
# (`sync="receiver"`, the default) beside a receiver that knows where the
# frame begins (`sync="perfect"`).

# %%
params = LoRaParams(sf=7, cr=1)
points = [
    LinkPoint(params, ChannelParams(snr_db=snr_db, cfo_hz=cfo_hz), 16, sync=sync)
    for sync, cfo_hz in (("receiver", 1200.0), ("perfect", 0.0))
    for snr_db in (-12.0, -11.0, -10.0, -9.0)
]
results = collect(
    points,
    max_frames=300,  # at most so many frames a point,
    max_errors=40,  # or until about so many of them failed
    seed=1,
    save_to=folder / "per.jsonl",
)
for result in results:
    print(result)

# %%
fig, ax = plt.subplots(figsize=(8, 4), layout="tight")
plot_waterfall(results, ax=ax)
plt.show()

# %% [markdown]
# The whole receiver loses fewer frames than one that knows the start: it
# decodes chirps and code jointly, and `sync="perfect"` with soft decisions
# takes bit by bit ([three decoders compared](decoding.py)). What
# synchronisation costs is the column `missed` below.

# %% [markdown]
# ## Continue
# The same call, from the same file: nothing is simulated again. A larger
# `max_frames` goes on where the file ends.

# %%
again = collect(points, max_frames=300, max_errors=40, seed=1, save_to=folder / "per.jsonl")
print(again == results)
longer = collect(points[3:4], max_frames=600, seed=1, save_to=folder / "per.jsonl")
print(longer[0])

# %% [markdown]
# ## Processes
# Any executor of `concurrent.futures`. The numbers do not depend on it. (A
# script must start its pool under `if __name__ == "__main__":`.)

# %%
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        in_two = collect(points[:2], max_frames=300, max_errors=40, seed=1, executor=pool)
    print(in_two == results[:2])

# %% [markdown]
# ## Numbers out
# The file can be read back at any time. A table has a row for each point,
# with why frames failed; pandas and CSV take it.

# %%
table = results_table(load_results(folder / "per.jsonl"))
save(table, folder / "per.csv")
frame = pd.DataFrame(table.rows, columns=table.columns)
frame[["sync", "snr_db", "frames", "per", "per_low", "per_high", "missed", "bad_crc"]]

# %% [markdown]
# ## Look at one frame that failed
# Each result names its first failed frames, and `replay_frame` gives one
# back: what was sent, what was received, and with which status.

# %%
failed = results[1].failed_frames[0]
record = replay_frame(points[1], failed, seed=1)
print("frame", failed, "status", record.status)
print("sent    ", record.payload.hex())
print("received", record.received_payload.hex())
