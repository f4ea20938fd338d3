"""A payload to the IQ of its whole frame, and back for a receiver that knows where the frame begins."""

from __future__ import annotations

import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.coding.chain import Decoded, decode_symbols, encode_payload
from lora_phy.coding.decisions import decide_symbols
from lora_phy.modem.demodulation import demodulate_frame
from lora_phy.modem.modulation import modulate_frame
from lora_phy.params import LoRaParams


def transmit(payload: bytes, params: LoRaParams) -> IQ:
    """IQ of the whole frame, ``(num_samples,)`` complex64, power 1 by definition.

    Raises
    ------
    ValueError, TypeError
        As `encode_payload`; a `sync_word` of None.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> iq = transmit(b"hello", params)
    >>> receive_synchronised(iq, params).payload
    b'hello'
    """
    return modulate_frame(encode_payload(payload, params), params)


def receive_synchronised(iq: npt.ArrayLike, params: LoRaParams, *, soft: bool = True) -> Decoded:
    """Decode a frame whose first preamble sample is ``iq[0]``: perfect synchronisation, for links without a receiver.

    Parameters
    ----------
    iq
        ``(num_samples,)`` complex; a frame that ends early gives the status TRUNCATED.
    soft
        Decode matched-filter bins (True) or hard decisions (`decide_symbols`: among the legal bins at reduced rate).
    """
    bins = demodulate_frame(iq, params, soft="bins")
    return decode_symbols(bins if soft else decide_symbols(bins, params), params)
