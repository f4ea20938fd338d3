"""``warmup``: what a receiver meets later was compiled before."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from dataclasses import replace
import numpy as np
from lora_phy import LoRaParams, receive, receive_channels, receive_collided, transmit
from lora_phy.commands.warmup import warm_up

def compiled():
    parts = ("lora_phy.modem", "lora_phy.coding", "lora_phy.receiver")
    modules = [module for name, module in sys.modules.items() if name.startswith(parts)]
    kernels = {item for module in modules for item in vars(module).values() if hasattr(item, "nopython_signatures")}
    return {(item.py_func.__qualname__, str(signature)) for item in kernels for signature in item.nopython_signatures}

warm_up(7)
before = compiled()
told = LoRaParams(sf=9, sync_word=0xAB, oversampling=2)
iq = np.concatenate([np.zeros(4096, np.complex64), transmit(b"hello", told), np.zeros(65536, np.complex64)])
rate = told.sample_rate_hz
for params in (told, replace(told, sync_word=None), replace(told, sf=7, sync_word=0x34)):
    receive(iq, params)
    receive(iq, [params, replace(params, sf=8)], cancel=True)
    receive_collided(iq, params)
    receive_channels(iq, params, sample_rate_hz=8 * rate)
old = replace(told, sf=6, variant="sx127x")
receive(np.concatenate([transmit(b"hello", old), np.zeros(4096, np.complex64)]), replace(old, variant="sx126x"))
late = compiled() - before
print(len(before), *sorted(late), sep="\\n")
"""


def test_nothing_of_the_receiver_is_compiled_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    count, *late = done.stdout.split("\n")[:-1]
    assert done.returncode == 0, done.stderr
    assert int(count) > 20 and not late, late
