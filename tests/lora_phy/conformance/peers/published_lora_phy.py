"""The published `lora-phy` 0.3.0 as a modem for the conformance kit.

Its import name is ours, too, so it lives in an environment of its own, whose interpreter `LORA_PHY_PEER` names:

    python3.12 -m venv peer && peer/bin/pip install lora-phy==0.3.0
    LORA_PHY_PEER=peer/bin/python pytest --pyargs lora_phy.conformance --modem published_lora_phy

It has explicit headers, spreading factors from 7 on, sync word 0x34, LDRO by the 16 ms rule, and says neither where a
frame begins nor whether its header was valid.
"""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

SERVER = """
import pickle, struct, sys, logging
import numpy as np
from lora_phy import LoRaReceiver, LoRaTransmitter
from scipy.signal import resample_poly
logging.disable(logging.CRITICAL)
def transmitter(p, rate):
    return LoRaTransmitter(p["sf"], p["bw"], rate, coding_rate=p["cr"], enable_crc=p["crc"], preamble_len=p["preamble"])
def decode(receiver, symbols):
    data, checksum = receiver.decode(np.asarray(symbols, np.uint16))
    return bytes(np.asarray(data, np.uint8)), None if checksum is None else bytes(bytearray(map(int, checksum)))
def answer(what, p, x):
    if what == "encode":
        return transmitter(p, p["bw"]).encode(np.frombuffer(x, np.uint8).copy())
    if what == "transmit":
        tx = transmitter(p, p["bw"] * p["oversampling"])
        return tx.modulate(tx.encode(np.frombuffer(x, np.uint8).copy()))
    if what == "receive" and p["oversampling"] == 1:  # its filter needs more than the bandwidth
        x, p["oversampling"] = resample_poly(x, 2, 1), 2
    rate = p["bw"] * max(p["oversampling"], 2)
    receiver = LoRaReceiver(868e6, p["sf"], p["bw"], rate, preamble_len=p["preamble"])
    if what == "decode":
        return decode(receiver, x)
    symbols, offsets, _ = receiver.demodulate(np.asarray(x, np.complex128))
    return [(*decode(receiver, s), offset) for s, offset in zip(symbols, offsets)]
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
sys.stdout = sys.stderr
while head := stdin.read(4):
    try:
        reply = (True, answer(*pickle.loads(stdin.read(*struct.unpack("<I", head)))))
    except Exception as error:
        reply = (False, f"{type(error).__name__}: {error}")
    data = pickle.dumps(reply)
    stdout.write(struct.pack("<I", len(data)) + data)
    stdout.flush()
"""


def encode_payload(payload: bytes, params: Any) -> Any:
    return _ask("encode", params, payload)


def decode_symbols(symbols: Any, params: Any) -> Any:
    return _decoded(*_ask("decode", params, np.asarray(symbols)))


def transmit(payload: bytes, params: Any) -> Any:
    return _ask("transmit", params, payload)


def receive(iq: Any, params: Any) -> Any:
    return [_decoded(*frame) for frame in _ask("receive", params, iq)]


def _decoded(data: bytes, checksum: bytes | None, cfo_hz: float = np.nan) -> Any:
    payload = data if checksum is None else data[:-2]
    good = None if checksum is None else data[-2:] == checksum
    return SimpleNamespace(
        payload=payload, status="bad_crc" if good is False else "ok", crc_ok=good, header=None,
        start_sample=np.nan, sto_samples=np.nan, cfo_hz=cfo_hz, sync_word=0x34,
    )  # fmt: skip


def _ask(what: str, params: Any, x: Any) -> Any:
    names = {"sf": params.sf, "bw": params.bandwidth_hz, "cr": params.cr, "crc": params.crc}
    request = pickle.dumps((what, {**names, "preamble": params.preamble_len, "oversampling": params.oversampling}, x))
    peer = _peer()
    assert peer.stdin is not None and peer.stdout is not None
    peer.stdin.write(struct.pack("<I", len(request)) + request)
    peer.stdin.flush()
    good, reply = pickle.loads(peer.stdout.read(*struct.unpack("<I", peer.stdout.read(4))))
    if not good:
        raise RuntimeError(reply)
    return reply


@cache
def _peer() -> subprocess.Popen[bytes]:
    command = [os.environ["LORA_PHY_PEER"], "-P", "-c", SERVER]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/")
