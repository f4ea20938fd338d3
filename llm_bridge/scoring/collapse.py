"""Does the spreading factor matter beyond the residual error rate? A logistic regression over all item rows.

    logit P(correct) = method * log10(byte error rate) + b_sf (SF - mean SF) + u_program

with ``u_program`` normal (programs differ, and one program's rows are not independent) and ``*`` for both main effects
and their interaction. The collapse hypothesis is ``b_sf = 0``: at equal residual errors every SF gives the same score.

Residual errors of a row are its wrong and its lost bytes (`residual_errors`); their rate is ``(errors + 1/2) / (bytes
sent + 1)``, so that a clean item has a logarithm.
Mixed fit: maximum likelihood with the integral over u by adaptive Gauss-Hermite quadrature around each program's mode
(Pinheiro and Bates, JCGS 4, 1995), a wide Gaussian prior (sd 5) on slopes keeping separated data finite. statsmodels'
`BinomialBayesMixedGLM` is the check in the tests, not the tool: its posterior has a pole at variance 0 and no mode,
and its variational errors are too small. Where the mixed fit fails, or for `engine="gee"`: statsmodels' generalised
estimating equations, exchangeable within programs, with the cluster-robust covariance (Liang and Zeger, Biometrika 73,
1986); their slopes are population averages, a little smaller.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats

PRIOR_SD = 5.0
NUM_NODES = 15
LOG_SD_BOUNDS = (-5.0, 3.0)


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
        value, low, high = (round(x, 2) + 0.0 for x in (self.sf.value, self.sf.low, self.sf.high))
        span = f"{value:.2f} [{low:.2f}, {high:.2f}]"
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
        `method`, `sf`, `program`, and those that `residual_errors` reads.
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


def residual_errors(row: Mapping[str, Any]) -> float:
    """Bytes of a row's text that did not arrive right: the wrong ones and the lost ones.

    Nothing delivered: all of them. Where a row does not count its lost bytes (`bytes_lost`), the share of fragments
    lost stands in.

    Examples
    --------
    >>> residual_errors({"delivered": True, "intact": False, "bytes_sent": 90, "byte_errors": 2, "bytes_lost": 40})
    42.0
    """
    if row["intact"]:
        return 0.0
    sent = float(row["bytes_sent"])
    if not row["delivered"]:
        return sent
    lost = row.get("bytes_lost")
    if lost is None:
        lost = sent * row["fragments_lost"] / row["fragments_sent"] if row.get("fragments_sent") else 0.0
    return min(sent, float(row["byte_errors"]) + float(lost))


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
    errors = np.array([log_byte_error(residual_errors(row), row["bytes_sent"]) for row in rows])
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
    """Coefficients and standard errors of a random-intercept logistic model."""
    from statsmodels.tools.numdiff import approx_hess

    num_programs = int(program.max()) + 1
    prior_precision = np.r_[0.0, np.full(design.shape[1] - 1, PRIOR_SD**-2.0)]
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(NUM_NODES)
    mode = np.zeros(num_programs)  # of u / sd, kept between calls as a warm start

    def negative_log_likelihood(theta: np.ndarray) -> float:
        beta, sd = theta[:-1], math.exp(float(np.clip(theta[-1], *LOG_SD_BOUNDS)))
        fixed = design @ beta
        for _ in range(20):  # Newton: concave in u, a handful of steps
            mean = special.expit(fixed + sd * mode[program])
            slope = sd * np.bincount(program, right - mean, num_programs) - mode
            curvature = 1 + sd * sd * np.bincount(program, mean * (1 - mean), num_programs)
            step = np.clip(slope / curvature, -2.0, 2.0)
            mode[:] += step
            if np.max(np.abs(step)) < 1e-9:
                break
        spread = curvature**-0.5
        terms = np.empty((NUM_NODES, num_programs))
        for row, node, weight in zip(terms, nodes, node_weights, strict=True):
            u = mode + spread * node
            eta = fixed + sd * u[program]
            inside = np.bincount(program, right * eta - np.logaddexp(0.0, eta), num_programs)
            row[:] = inside - u * u / 2 + node * node / 2 + math.log(weight)
        marginal = special.logsumexp(terms, axis=0) + np.log(spread) - 0.5 * math.log(2 * math.pi)
        return float(-marginal.sum() + 0.5 * np.sum(prior_precision * beta**2))

    start = np.r_[_fit_gee(right, design, program)[0], -0.5]
    found = optimize.minimize(
        negative_log_likelihood, start, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-12, "gtol": 1e-6}
    )
    best = found.x
    # programs that do not differ put the spread at its bound, where it no longer has a curvature
    free = len(best) if LOG_SD_BOUNDS[0] + 1 < best[-1] < LOG_SD_BOUNDS[1] else len(best) - 1
    information = approx_hess(best, negative_log_likelihood)[:free, :free]
    variances = np.diag(np.linalg.inv(information))[: design.shape[1]]
    if np.max(np.abs(found.jac)) > 1e-2 or np.any(variances <= 0):
        raise RuntimeError("the likelihood has no interior maximum")
    return best[:-1], np.sqrt(variances)


def _fit_gee(right: np.ndarray, design: np.ndarray, program: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Population-average logistic model with cluster-robust standard errors."""
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_estimating_equations import GEE
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    model = GEE(right, design, groups=program, family=Binomial(), cov_struct=Exchangeable())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ConvergenceWarning)
        fitted = model.fit()
    with np.errstate(invalid="ignore"):  # a covariance without positive variances is no fit: the caller looks
        return np.asarray(fitted.params), np.asarray(fitted.bse)
