"""Receivers for streams of unknown content: preamble detection, synchronisation, decoding, collisions, channels."""
