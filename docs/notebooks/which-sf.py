# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Which spreading factor at which distance?
# Airtime grows with the SF, and so does range. What does a message cost at
# each data rate of LoRaWAN, and how far does it go in which surroundings?

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lora_phy import LoRaParams, theory
from lora_phy.channel import path_loss
from lora_phy.plotting import PALETTE, plot_range
from lora_phy.studies.plan import plan_table

# %% [markdown]
# ## The plan
# 20 bytes of an application in EU868, with LoRaWAN's 13 bytes on top. In a
# terminal: `python -m lora_phy plan 20`.

# %%
rates = [f"eu868-dr{rate}" for rate in range(6)]
table = plan_table(20, rates, path_losses=["hata-suburban"])
frame = pd.DataFrame(table.rows, columns=table.columns)
frame[["preset", "sf", "airtime_ms", "messages_per_hour", "energy_mj",
       "sensitivity_dbm", "range_km", "battery_years"]].round(1)

# %% [markdown]
# Every assumption stands in the table:

# %%
for name in ("sensitivity", "range", "overhead", "battery"):
    print(f"{name}: {table.provenance[name]}")

# %% [markdown]
# ## Range over the spreading factor
# Okumura–Hata with a mast of 30 m, at 14 dBm and a packet error rate of 1 %.

# %%
fig, ax = plt.subplots(figsize=(8, 3.8), layout="tight")
plot_range(payload_len=33, ax=ax)
plt.show()

# %% [markdown]
# ## What fading does to "1 %"
# Those ranges are medians. Let shadowing (8 dB) and Rayleigh fading have
# their say: the share of frames that arrive, over the distance.

# %%
rng = np.random.default_rng(1)
distance_m = np.geomspace(500, 12_000, 25)
shadow_db = path_loss.shadowing_db(8.0, (3000, 1), rng=rng)
fade_db = 10 * np.log10(rng.exponential(size=(3000, 1)))
loss_db = path_loss.okumura_hata_db(distance_m, 868e6, environment="suburban")
snr_db = path_loss.snr_db(14.0, loss_db + shadow_db, 125e3) + fade_db

fig, ax = plt.subplots(figsize=(8, 3.8), layout="tight")
grid = np.linspace(-40.0, 20.0, 400)
for sf, colour in zip((7, 9, 10, 12), PALETTE, strict=False):
    per = theory.per_awgn(LoRaParams(sf=sf), 33, grid)
    arrived = 1 - np.interp(snr_db, grid, per)
    ax.plot(distance_m / 1e3, arrived.mean(axis=0), color=colour, label=f"SF{sf}")
ax.set(xlabel="distance, km", ylabel="share of frames that arrive", ylim=(0, 1))
ax.grid(alpha=0.3)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# A margin keeps the promise: `plan_table(…, margin_db=15)`.
