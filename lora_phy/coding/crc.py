"""The payload's 16-bit check: the plain remainder of the payload polynomial, M(x) mod (x^16 + x^12 + x^5 + 1).

Most implementations describe it as a CRC over all bytes but the last two, XORed with those two; that is the same
number, because the usual multiplication by x^16 is left out. One rule then covers every length, 0 and 1 included.
Sent low byte first, not whitened.
"""

from __future__ import annotations

POLYNOMIAL = 0x1021


def payload_crc(payload: bytes) -> int:
    """Remainder of the payload modulo the CCITT polynomial, without augmentation, 0…65535.

    Examples
    --------
    >>> f"{payload_crc(bytes.fromhex('deadbeef')):04x}"    # on air 80 ec, from a real RN2483
    'ec80'
    >>> payload_crc(b""), payload_crc(b"A") == ord("A")
    (0, True)
    """
    remainder = 0
    for byte in payload:
        remainder = ((remainder & 0xFF) << 8 | byte) ^ REMAINDERS[remainder >> 8]
    return remainder


def _shifted(byte: int) -> int:
    """byte * x^16 modulo the polynomial."""
    remainder = byte << 8
    for _ in range(8):
        remainder = (remainder << 1) ^ (POLYNOMIAL if remainder & 0x8000 else 0)
        remainder &= 0xFFFF
    return remainder


REMAINDERS = tuple(_shifted(byte) for byte in range(256))
"""What a byte that is shifted out leaves behind."""
