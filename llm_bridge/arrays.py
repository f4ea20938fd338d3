"""Arrays that modules annotate with; apart from `llm_bridge.annotations`, so that files are read without numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
