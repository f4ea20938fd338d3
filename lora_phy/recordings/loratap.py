"""Frames for Wireshark: a pcap file of LoRaTap packets (link type 270).

    packet    version 1, length 35 │ frequency, bandwidth / 125 kHz, SF │ RSSI, SNR │ sync word │ flags, CR … │ payload

RSSI stands in the field in dBm; a recording knows no dBm, so it holds dB over full scale: 0 dBFS reads 0 dBm. Below
0 dB SNR the field counts quarters and ends at -75.5 dBm: what lies above it reads "not available".
Bandwidths that are no multiple of 125 kHz read 0. A frame of a recording without a date is dated from 1970 on; dates
that the file format has no room for, before 1970 and after 2106, read as the first or last instant that it has.

Source: https://github.com/eriknl/LoRaTap and its version 1, https://github.com/alpov/LoRaTap; the pcap file format,
draft-ietf-opsawg-pcap.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from lora_phy.receiver.frame_reception import RxFrame

LINK_TYPE = 270
_LENGTH = 35
_RSSI_OF_0, _NOT_AVAILABLE = 139, 255
_LAST_MICROSECOND = (1 << 32) * 1_000_000 - 1
_INVERTED, _IMPLICIT, _CRC_OK, _CRC_BAD, _NO_CRC = 0x02, 0x04, 0x08, 0x10, 0x20


def write_pcap_header(handle: BinaryIO) -> None:
    """Begin a pcap file: microseconds, little endian, link type LoRaTap."""
    handle.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINK_TYPE))


def write_pcap_frame(handle: BinaryIO, frame: RxFrame, *, frequency_hz: float = 0.0, elapsed_s: float = 0.0) -> None:
    """Append one frame.

    Parameters
    ----------
    frequency_hz
        Radio frequency of the channel; 0 where it is not known.
    elapsed_s
        Seconds from the recording's beginning, which stand for the time where the frame carries none.
    """
    packet = loratap(frame, frequency_hz=frequency_hz)
    seconds = elapsed_s if frame.time is None else frame.time.timestamp()
    microseconds = max(0, min(round(seconds * 1e6), _LAST_MICROSECOND))
    handle.write(struct.pack("<IIII", *divmod(microseconds, 1_000_000), len(packet), len(packet)) + packet)
    handle.flush()


def loratap(frame: RxFrame, *, frequency_hz: float = 0.0) -> bytes:
    """A frame as a LoRaTap packet: header of version 1, then the payload."""
    params, header = frame.params, frame.header
    cr = params.cr if header is None else header.cr
    flags = _INVERTED * params.inverted_iq | _IMPLICIT * (not params.explicit_header)
    flags |= _NO_CRC if frame.crc_ok is None else _CRC_OK if frame.crc_ok else _CRC_BAD
    steps = params.bandwidth_hz / 125e3
    # the field's unit is a dB, or a quarter of one where the SNR is negative as written
    snr = max(-128, min(round(4 * frame.snr_db), 127))
    level = round((frame.power_dbfs + _RSSI_OF_0) * (1 if snr >= 0 else 4))
    rssi = max(level, 0) if level < _NOT_AVAILABLE else _NOT_AVAILABLE
    return (
        struct.pack(
            ">BBHIBBBBBBB", 1, 0, _LENGTH, _clipped(frequency_hz + frame.cfo_hz if frequency_hz else 0.0),
            int(steps) if steps in range(1, 256) else 0, params.sf, rssi,
            _NOT_AVAILABLE, _NOT_AVAILABLE, snr & 0xFF, frame.sync_word or 0,
        )
        + struct.pack(">QIBBHBBH", 0, 0, flags, 4 + cr if 1 <= cr <= 4 else 0, 0, 0, 0, 0)
        + frame.payload
    )  # fmt: skip


def _clipped(frequency_hz: float) -> int:
    return max(0, min(round(frequency_hz), 0xFFFFFFFF))
