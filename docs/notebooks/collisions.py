# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Collisions, capture and the rejection matrix
# Two frames at once. Which of them is read depends on their powers, on their
# spreading factors, and on what the receiver does about it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lora_phy import ChannelParams, LoRaParams, apply_channel, receive_collided
from lora_phy.frames.scene import Transmission, scene
from lora_phy.plotting import PALETTE, plot_rejection, plot_spectrogram
from lora_phy.studies.capture import capture_ser
from lora_phy.studies.rejection import rejection_matrix

# %% [markdown]
# ## Two frames of one spreading factor
# `scene` puts frames on one timeline: the second begins while the first is
# on air, and is 8 dB weaker.

# %%
params = LoRaParams(sf=7)
frames = [
    Transmission(payload=b"the first frame", params=params, start_s=0.004),
    Transmission(payload=b"the second one", params=params, start_s=0.0213, power_db=-8.0),
]
clean = scene(frames, 10_000, params.sample_rate_hz)
rng = np.random.default_rng(1)
iq = apply_channel(clean, ChannelParams(snr_db=10.0), params, rng=rng)
fig, ax = plt.subplots(figsize=(8, 3.2), layout="tight")
plot_spectrogram(iq, params, ax=ax, num_frequencies=64)
plt.show()

# %% [markdown]
# Three receivers: `plain` reads each frame as if it were alone, `sic`
# subtracts what it has read and looks again, `segments` also reads symbols
# between the edges of other frames' symbols.

# %%
for method in ("plain", "sic", "segments"):
    found = receive_collided(iq, params, method=method)
    print(f"{method:9}", [(str(f.status), f.payload) for f in found])

# %% [markdown]
# ## Capture
# How much stronger must a frame be, to be read under another of its SF? The
# symbol error rate against one interferer whose symbols begin elsewhere,
# without noise; and if both were aligned, which flatters nobody.

# %%
sir_db = np.arange(-6.0, 6.1, 0.5)
fig, ax = plt.subplots(figsize=(8, 3.6), layout="tight")
for sf, colour in zip((7, 9), PALETTE, strict=False):
    for aligned, style in ((False, "-"), (True, "--")):
        ser = capture_ser(sf, sir_db, aligned=aligned, num_draws=1500)
        words = "aligned" if aligned else "not aligned"
        ax.semilogy(sir_db, ser, style, color=colour, label=f"SF{sf}, {words}")
ax.set(xlabel="signal over interference, dB", ylabel="symbol error rate")
ax.set_ylim(1e-3, 1.3)
ax.grid(alpha=0.3)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## The rejection matrix
# Different SFs are nearly orthogonal: an interferer may be some 10 to 25 dB
# stronger before 1 % of the bits are wrong. The published matrix beside ours
# is the one in ns-3 and FLoRa.
# [Put ours there](../how-to/network-simulators.md).

# %%
matrix = rejection_matrix(num_symbols=150, seed=1)
fig, axes = plt.subplots(1, 2, figsize=(8.6, 4), layout="tight")
plot_rejection(matrix, axes=axes)
plt.show()
