# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Hard, soft and joint decoding
# A receiver can decide chirp by chirp (*hard*), pass on how sure each bit is
# (*soft*), or let the code speak when chirps are decided (*joint*: the
# decoder gets all bins of a chirp). What is each worth at 4/5 to 4/8?

# %%
import matplotlib.pyplot as plt
import numpy as np

from lora_phy import (
    ChannelParams,
    FrameStatus,
    LoRaParams,
    apply_channel,
    decode_symbols,
    demodulate,
    encode_payload,
    modulate,
    theory,
)
from lora_phy.monte_carlo.counts import binomial_interval
from lora_phy.plotting import PALETTE

# %% [markdown]
# ## The same noisy frames, three decoders
# `demodulate` gives symbol values, bit metrics (`soft=True`) or the matched
# filter's bins (`soft="bins"`); `decode_symbols` tells them apart by shape.
# Synchronisation is perfect here, so that the decoders alone differ.

# %%
SOFT = {"hard": False, "soft": True, "joint": "bins"}
FRAMES, PAYLOAD_LEN = 120, 16


def lost(cr: int, snr_db: float) -> dict[str, int]:
    """How many of the frames each decoder loses."""
    params = LoRaParams(sf=7, cr=cr)
    rng = np.random.default_rng([cr, round(-100 * snr_db)])
    payloads = [rng.bytes(PAYLOAD_LEN) for _ in range(FRAMES)]
    symbols = np.array([encode_payload(payload, params) for payload in payloads])
    channel = ChannelParams(snr_db=snr_db)
    iq = apply_channel(modulate(symbols, params), channel, params, rng=rng)
    count = {}
    for name, soft in SOFT.items():
        decoded = [decode_symbols(x, params) for x in demodulate(iq, params, soft=soft)]
        count[name] = sum(
            found.status != FrameStatus.OK or found.payload != sent
            for found, sent in zip(decoded, payloads, strict=True)
        )
    return count


print("4/8 at -11 dB, frames lost of", FRAMES, lost(4, -11.0))

# %% [markdown]
# ## All coding rates
# Points with exact 95 % intervals; the line is theory for hard decoding
# (`theory.per_awgn`).

# %%
snr_dbs = np.arange(-13.0, -7.9, 1.0)
fine = np.linspace(-13.5, -7.5, 100)
fig, axes = plt.subplots(2, 2, figsize=(8, 6), sharex=True, sharey=True, layout="tight")
for cr, ax in zip(range(1, 5), axes.flat, strict=True):
    counts = [lost(cr, snr_db) for snr_db in snr_dbs]
    theoretical = theory.per_awgn(LoRaParams(sf=7, cr=cr), PAYLOAD_LEN, fine)
    ax.semilogy(fine, theoretical, color=PALETTE[0], linewidth=1)
    for name, colour, marker in zip(SOFT, PALETTE, "osD", strict=False):
        errors = np.array([count[name] for count in counts])
        per = errors / FRAMES
        low, high = np.array([binomial_interval(n, FRAMES) for n in errors]).T
        seen = errors > 0
        ax.errorbar(
            snr_dbs[seen], per[seen], [(per - low)[seen], (high - per)[seen]],
            fmt=marker, color=colour, capsize=2, markersize=4, label=name,
        )
    ax.set_title(f"4/{4 + cr}", fontsize="medium")
    ax.set_ylim(3e-3, 1.3)
    ax.grid(alpha=0.3)
axes[0, 0].legend(frameon=False)
fig.supxlabel("SNR in the bandwidth, dB")
fig.supylabel("packet error rate")
plt.show()

# %% [markdown]
# At 4/5 the code cannot correct, so hard decisions lose every frame with one
# wrong bit. Soft and joint decoding use it all the same. `receive` decodes
# jointly unless `soft=False`.
