"""Does the spreading factor matter beyond the residual error rate? A logistic regression over all item rows.

    logit P(correct) = method * log10(byte error rate) + b_sf (SF - mean SF) + u_program

with ``u_program`` normal (programs differ, and one program's rows are not independent) and ``*`` for both main effects
and their interaction. The collapse hypothesis is ``b_sf = 0``: at equal residual errors every SF gives the same score.

The byte error rate of a row is ``(byte_errors + 1/2) / (bytes_sent + 1)``, so that a clean item has a logarithm.
Mixed fit: Laplace's approximation by statsmodels' `BinomialBayesMixedGLM` (Gaussian priors of sd 3 keep separated data
finite). Where that fails, or where `engine="gee"`: generalised estimating equations, exchangeable within programs, with
the cluster-robust covariance (Liang and Zeger, Biometrika 73, 1986).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A coefficient in log-odds with its interval, and the p value of "it is 0"."""

    name: str
    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class CollapseFit:
    """The fitted regression; `engine` is "mixed", "gee" or "none" (nothing can be estimated: `reason` says why)."""

    engine: str
    effects: tuple[Effect, ...] = ()
    num_items: int = 0
    num_programs: int = 0
    reason: str = ""

    @property
    def sf(self) -> Effect | None:
        """The effect of one step of SF beyond the residual error rate."""
        return next((effect for effect in self.effects if effect.name == "sf"), None)

    def sentence(self) -> str:
        """What may be said about the collapse hypothesis."""
        if self.engine == "none":
            return f"SF beyond the residual error rate: not estimable ({self.reason})"
        if self.sf is None:
            return "SF beyond the residual error rate: not estimable (one SF only)"
        span = f"{self.sf.value:.2f} [{self.sf.low:.2f}, {self.sf.high:.2f}]"
        verdict = "no effect seen" if self.sf.low <= 0 <= self.sf.high else "an effect remains"
        return (
            f"SF beyond the residual error rate: {span} log-odds a step, {self.num_items} items of "
            f"{self.num_programs} programs: {verdict}"
        )


def fit_collapse(item_rows: Iterable[Mapping[str, Any]], *, engine: str = "mixed", level: float = 0.95) -> CollapseFit:
    """Fit ``correct ~ method * log10(byte error rate) + sf + (1 | program)``.

    Parameters
    ----------
    item_rows
        Rows of ``items.jsonl`` with `method` and `sf` joined from their cells' configurations; fields used: `correct`,
        `method`, `sf`, `program`, `byte_errors`, `bytes_sent`.
    engine
        "mixed" (with "gee" where it fails) or "gee".

    Terms that the data do not vary (one method, one SF, no error anywhere) are left out.
    """
    if engine not in ("mixed", "gee"):
        raise ValueError(f"'engine' must be 'mixed' or 'gee' (got {engine!r})")
    rows = list(item_rows)
    right = np.array([float(bool(row["correct"])) for row in rows])
    programs, program_index = np.unique([str(row["program"]) for row in rows], return_inverse=True)
    if len(rows) == 0 or right.min() == right.max():
        reason = "no items" if len(rows) == 0 else f"every item is {'right' if right.min() else 'wrong'}"
        return CollapseFit(engine="none", num_items=len(rows), num_programs=len(programs), reason=reason)
    if len(programs) < 2:
        return CollapseFit(engine="none", num_items=len(rows), num_programs=1, reason="one program only")
    names, design = _design(rows)
    fits = {"mixed": _fit_mixed, "gee": _fit_gee}
    for name in ("mixed", "gee") if engine == "mixed" else ("gee",):
        try:
            value, spread = fits[name](right, design, program_index)
        except (np.linalg.LinAlgError, ValueError, FloatingPointError, RuntimeError, Warning):
            continue
        if np.all(np.isfinite(value)) and np.all(np.isfinite(spread)) and np.all(spread > 0):
            reach = stats.norm.ppf(0.5 + level / 2)
            effects = tuple(
                Effect(
                    name=term,
                    value=float(b),
                    low=float(b - reach * s),
                    high=float(b + reach * s),
                    p_value=float(2 * stats.norm.sf(abs(b) / s)),
                )
                for term, b, s in zip(names, value, spread, strict=True)
            )
            return CollapseFit(engine=name, effects=effects, num_items=len(rows), num_programs=len(programs))
    return CollapseFit(
        engine="none", num_items=len(rows), num_programs=len(programs), reason="the fit did not converge"
    )


def log_byte_error(byte_errors: float, bytes_sent: float) -> float:
    """``log10((errors + 1/2) / (bytes + 1))``.

    Examples
    --------
    >>> round(log_byte_error(0, 199), 3)
    -2.602
    """
    return math.log10((byte_errors + 0.5) / (bytes_sent + 1))


def _design(rows: list[Mapping[str, Any]]) -> tuple[list[str], np.ndarray]:
    """Columns of the fixed effects, those that vary: treatment coding of the method, centred numbers."""
    errors = np.array([log_byte_error(row["byte_errors"], row["bytes_sent"]) for row in rows])
    errors -= errors.mean()
    sf = np.array([float(row["sf"]) for row in rows])
    columns: dict[str, np.ndarray] = {"intercept": np.ones(len(rows))}
    methods = sorted({str(row["method"]) for row in rows})
    for method in methods[1:]:
        columns[f"method[{method}]"] = np.array([float(str(row["method"]) == method) for row in rows])
    if np.ptp(errors) > 0:
        columns["log10_byte_error"] = errors
        for method in methods[1:]:
            columns[f"method[{method}]:log10_byte_error"] = columns[f"method[{method}]"] * errors
    if np.ptp(sf) > 0:
        columns["sf"] = sf - sf.mean()
    names = list(columns)
    return names, np.stack([columns[name] for name in names], axis=1)


def _fit_mixed(right: np.ndarray, design: np.ndarray, program: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mode and curvature of a random-intercept logistic model."""
    from scipy import sparse
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    intercepts = sparse.csr_matrix((np.ones(len(right)), (np.arange(len(right)), program)))
    model = BinomialBayesMixedGLM(right, design, intercepts, np.zeros(intercepts.shape[1], dtype=int), fe_p=3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ConvergenceWarning)
        fitted = model.fit_map()
    return np.asarray(fitted.fe_mean), np.asarray(fitted.fe_sd)


def _fit_gee(right: np.ndarray, design: np.ndarray, program: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Population-average logistic model with cluster-robust standard errors."""
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    model = sm.GEE(
        right, design, groups=program, family=sm.families.Binomial(), cov_struct=sm.cov_struct.Exchangeable()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ConvergenceWarning)
        fitted = model.fit()
    return np.asarray(fitted.params), np.asarray(fitted.bse)
