"""Chirp symbols to IQ and back. Knows nothing of bytes, codes or channels."""
