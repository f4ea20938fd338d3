# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A first frame
# From bytes to chirps, from chirps to IQ samples, through noise, and back.
# This page is a notebook: everything below was run when the site was built.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lora_phy import (
    ChannelParams,
    LoRaParams,
    airtime_s,
    apply_channel,
    decode_symbols,
    demodulate,
    encode_payload,
    modulate,
    receive,
    transmit,
)
from lora_phy.plotting import plot_dechirped, plot_spectrogram

# %% [markdown]
# ## Bytes to chirps
# `LoRaParams` says everything about a link. A frame's bytes become *symbols*,
# numbers between 0 and 2^SF − 1; each is sent as one chirp.

# %%
params = LoRaParams(sf=7, cr=1, oversampling=2)
payload = b"hello over the air"
symbols = encode_payload(payload, params)
print(len(symbols), "chirps of", params.num_bins, "values:", symbols)
print(f"{1e3 * airtime_s(len(payload), params):.1f} ms on air")
print(decode_symbols(symbols, params))

# %% [markdown]
# ## Chirps to IQ
# `transmit` puts the preamble, the sync word and two and a quarter downchirps
# before the data. The power of the signal is 1 by definition.

# %%
iq = transmit(payload, params)
fig, ax = plt.subplots(figsize=(8, 3.2), layout="tight")
plot_spectrogram(iq, params, ax=ax, num_frequencies=64)
plt.show()

# %% [markdown]
# ## Noise, and what a receiver sees of one symbol
# `snr_db` is signal over noise **in the bandwidth**. At −5 dB the noise is
# three times as strong as the signal. A matched filter collects a whole
# chirp's energy into the bin of its value, and there it stands out.

# %%
rng = np.random.default_rng(1)
channel = ChannelParams(snr_db=-5.0)
one = apply_channel(modulate([42], params), channel, params, rng=rng)
fig, ax = plt.subplots(figsize=(8, 2.8), layout="tight")
plot_dechirped(one, params, ax=ax)
ax.axvline(42, linestyle="--", color="#D55E00", label="sent: 42")
ax.legend(frameon=False)
plt.show()
print("decided for", demodulate(one, params))

# %% [markdown]
# ## The whole receiver
# It knows neither where the frame begins nor how far the two oscillators are
# apart: here the frame begins at sample 1234.4 and is 700 Hz off.

# %%
silence = np.zeros(1234, np.complex64)
stream = np.concatenate([silence, iq, silence])
channel = ChannelParams(snr_db=-5.0, cfo_hz=700.0, sto_samples=0.4)
noisy = apply_channel(stream, channel, params, rng=rng)
for frame in receive(noisy, params):
    print(frame.status, frame.payload)
    start = frame.start_sample + frame.sto_samples
    print(f"begins at sample {start:.2f}, {frame.cfo_hz:.0f} Hz off,")
    print(f"SNR estimated at {frame.snr_db:.1f} dB")

# %% [markdown]
# Next: [error rates beside theory](error-rates.py);
# [decode a recording of yours](../how-to/decode-recording.md).
