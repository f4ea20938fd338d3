"""Bytes to chirp symbols and back: integers and metrics, no IQ. Each file holds a function and its inverse."""
