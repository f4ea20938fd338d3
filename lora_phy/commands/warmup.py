"""``warmup``: everything compiled ahead of its first use."""

from __future__ import annotations

import argparse
import time

from lora_phy.commands.options import SPREADING_FACTORS, Subparsers


def add(commands: Subparsers) -> None:
    """Declare the command."""
    text = (
        "compile what is compiled on first use, so that nobody waits for it later (in a container image, for instance)"
    )
    warmup = commands.add_parser("warmup", help=text, description=text)
    warmup.set_defaults(run=run)
    warmup.add_argument(
        "--sf", type=int, nargs="+", default=[7], help="simulation at these spreading factors; 7 unless given"
    )
    warmup.add_argument("--all", action="store_true", help="at all of them (a minute or two)")


def run(options: argparse.Namespace) -> int:
    """Receive, simulate and decode one frame at each spreading factor."""
    from lora_phy.kernels.cache import CAN_KEEP

    for sf in SPREADING_FACTORS if options.all else options.sf:
        start = time.process_time()
        warm_up(sf)
        print(f"SF{sf}: {time.process_time() - start:.1f} CPU s", flush=True)
    if not CAN_KEEP:
        print("compiled code cannot be kept: set NUMBA_CACHE_DIR to a folder that can be written")
    return 0 if CAN_KEEP else 1


def warm_up(sf: int) -> None:
    """Use once what is compiled: modem, receivers of one channel, of several and of collisions, simulation."""
    import numpy as np

    from lora_phy.frames.transceiver import transmit
    from lora_phy.modem.demodulation import demodulate
    from lora_phy.modem.modulation import modulate
    from lora_phy.monte_carlo.collect import collect
    from lora_phy.monte_carlo.engines import symbol_errors
    from lora_phy.monte_carlo.points import LinkPoint
    from lora_phy.params import LoRaParams
    from lora_phy.receiver.channelizer import receive_channels
    from lora_phy.receiver.collisions import receive_collided
    from lora_phy.receiver.stream import receive

    params = LoRaParams(sf=sf)
    chirps = modulate(np.arange(64) % params.num_bins, params)
    for soft in (False, True, "bins"):
        demodulate(chirps, params, soft=soft)
    for oversampling, rate in ((1, 1.0), (2, 2.0), (2, 2.5)):
        frame = transmit(b"compiled ahead of its use", LoRaParams(sf=sf, oversampling=oversampling))
        silence = np.zeros(4 * params.num_bins * oversampling, np.complex64)
        iq = np.concatenate([silence, frame, silence])
        receive(iq, params, sample_rate_hz=rate * params.bandwidth_hz, center_offset_hz=0.0 if rate < 2.5 else 1e3)
    receive_collided(iq, params, sample_rate_hz=2 * params.bandwidth_hz)
    receive_channels(iq, params, sample_rate_hz=8 * params.bandwidth_hz)
    iq[-8 * params.samples_per_symbol :] = 0  # a frame that is read a second time
    receive(iq, params, sample_rate_hz=2 * params.bandwidth_hz)
    for sync, decoding in (("perfect", "soft"), ("perfect", "hard"), ("receiver", "soft")):
        point = LinkPoint(params, 0.0, 8, sync=sync, decoding=decoding)  # type: ignore[arg-type]
        collect([point], max_frames=8, seed=0)
    symbol_errors(params, 0.0, 8, seed=0)
