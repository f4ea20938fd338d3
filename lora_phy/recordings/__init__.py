"""Recordings: IQ in files and from pipes, raw, as WAV, or with SigMF metadata beside it.

    name.sigmf-meta     JSON: sample rate, centre frequency, time, and the `lora:*` keys that gr-lora uses
    name.sigmf-data     the samples
    name.wav            two channels, I and Q, with the sample rate (SDR#, SDR++, SDRangel)
    name.cf32 …         samples alone: cf32 (complex64), cs16, cs8, cu8, little endian, I before Q

Integer samples are scaled to full scale 1. `read_recording` takes any of them, `open_recording` reads them bit by bit,
also from a pipe.
"""

from lora_phy.recordings.raw import SampleFormat as SampleFormat
from lora_phy.recordings.raw import iterate_raw as iterate_raw
from lora_phy.recordings.raw import read_raw as read_raw
from lora_phy.recordings.raw import write_raw as write_raw
from lora_phy.recordings.sigmf import write_sigmf as write_sigmf
from lora_phy.recordings.stream import Recording as Recording
from lora_phy.recordings.stream import RecordingStream as RecordingStream
from lora_phy.recordings.stream import open_recording as open_recording
from lora_phy.recordings.stream import read_recording as read_recording
from lora_phy.recordings.stream import read_sigmf as read_sigmf
