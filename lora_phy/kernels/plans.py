"""How the transform of each spreading factor is cut into passes, and the layout of the scratch memory."""

from __future__ import annotations

RADICES = (4, 8, 16)
"""Points of a codelet."""
PLANS = {
    5: (4, 8),
    6: (4, 16),
    7: (4, 4, 8),
    8: (4, 8, 8),
    9: (4, 8, 16),
    10: (8, 8, 16),
    11: (8, 16, 16),
    12: (16, 16, 16),
}
"""Radices of the passes, first to last, whose product is 2**sf; the fastest of those tried on Zen 4."""

NOISE_AT = 16 * max(RADICES)
"""Where in the scratch memory the noise of one butterfly lies, in floats; before it lie the factors A(a)."""
SCRATCH_FLOATS = 2 * NOISE_AT
