# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Error rates of symbols, over theory
# How often is a chirp decided wrongly, at SF7 to SF12, in noise and under
# Rayleigh fading? Simulated, and beside the exact formulas.

# %%
import time

import matplotlib.pyplot as plt

from lora_phy import ChannelParams, LoRaParams, symbol_errors, theory
from lora_phy.plotting import plot_ser

# %% [markdown]
# ## One point
# `symbol_errors` counts. The result is a count with its interval, so that you
# see how sure it is.

# %%
params = LoRaParams(sf=7)
counts = symbol_errors(params, -9.0, 50_000, seed=1)
low, high = counts.interval(0.95)
print(counts)
print(f"SER {counts.ser:.5f}, 95 % interval [{low:.5f}, {high:.5f}]")
print(f"in theory {theory.ser_awgn(7, -9.0):.5f}")
print(f"BER {counts.ber:.5f}, in theory {theory.ber_awgn(7, -9.0):.5f}")

# %% [markdown]
# ## SF7 to SF12
# A step of SF needs about 2.5 dB less. A point without errors is drawn as an
# upper limit, an arrow that points down.

# %%
measured = []
for sf in range(7, 13):
    params = LoRaParams(sf=sf)
    middle = theory.required_snr_db(lambda snr_db, sf=sf: theory.ser_awgn(sf, snr_db), 1e-2)
    for step in (-4, -2.5, -1, 0, 1, 2):
        snr_db = round(middle + step, 2)
        engine = "order-statistics"
        counts = symbol_errors(params, snr_db, 40_000, seed=sf, engine=engine)
        measured.append((params, snr_db, counts))
fig, ax = plt.subplots(figsize=(8, 4), layout="tight")
plot_ser(measured, ax=ax)
plt.show()

# %% [markdown]
# ## Rayleigh fading
# With a fade for each symbol, a deep one now and then decides: the curve
# falls by a factor of ten for every 10 dB, whatever the SF.

# %%
measured = []
for sf in (7, 12):
    for snr_db in range(-25, 11, 5):
        for fading in (None, "rayleigh"):
            channel = ChannelParams(snr_db=snr_db, fading=fading)
            counts = symbol_errors(
                LoRaParams(sf=sf), channel, 20_000, seed=1,
                engine="order-statistics",
            )
            measured.append((LoRaParams(sf=sf), channel, counts))
fig, ax = plt.subplots(figsize=(8, 4), layout="tight")
plot_ser(measured, ax=ax)
plt.show()

# %% [markdown]
# ## Four engines, one answer
# | engine | draws | use it for |
# |---|---|---|
# | `waveform` | every IQ sample | any channel: offsets, multipath, interferers |
# | `bins` | every bin of the matched filter | AWGN, flat fading, soft or hard |
# | `order-statistics` | the right bin and the largest wrong one | hard only |
# | `importance` | errors more often than they are, with weights | rare errors |
#
# The last three have the same distribution as the first, not the same noise.

# %%
for engine in ("waveform", "bins", "order-statistics", "importance"):
    symbol_errors(LoRaParams(sf=9), -14.0, 64, seed=1, engine=engine)
    start = time.perf_counter()
    counts = symbol_errors(LoRaParams(sf=9), -14.0, 20_000, seed=1, engine=engine)
    took = time.perf_counter() - start
    low, high = counts.interval(0.95)
    print(f"{engine:17} {counts.ser:.4f} [{low:.4f}, {high:.4f}] {1e3 * took:6.0f} ms")
print(f"{'theory':17} {theory.ser_awgn(9, -14.0):.4f}")

# %% [markdown]
# Errors that nobody waits for: 10⁻⁹, which would take some 10¹¹
# symbols to count, from twenty thousand weighted ones.

# %%
snr_db = theory.required_snr_db(lambda x: theory.ser_awgn(9, x), 1e-9)
counts = symbol_errors(LoRaParams(sf=9), snr_db, 20_000, seed=1, engine="importance")
print(f"{counts.ser:.2e} (theory 1.00e-09), relative error {counts.relative_error:.1%}")
