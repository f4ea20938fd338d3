"""Whole frames: a payload to the IQ of its frame, airtime, frames on a timeline, traces of every stage."""
