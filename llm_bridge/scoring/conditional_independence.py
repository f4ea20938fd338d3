"""Does the spreading factor matter beyond the residual error rate? A logistic regression over all item rows.

    logit P(correct) = method * (intact + x + x^2) + training seed + b_sf (SF - mean SF) + u_program

over the items of which any byte arrived, with x = log10(byte error rate) of a damaged item, centred, and 0 of an intact
one. (A straight line in x over all items rejects a true collapse nearly always: SF then stands in for the bend.)
``u_program`` is normal (programs differ, and one program's rows are not independent), ``*`` stands for both main
effects and their interaction; a training seed is a fixed term within its method. The collapse hypothesis is
``b_sf = 0``: at equal residual errors every SF gives the same score. Its test is the likelihood ratio of the fits with
and without SF (chi-squared, 1 degree of freedom; with ``sf_terms="categories"`` one less than there are spreading
factors), its family the tasks of one corpus (`independence_family`, Holm).

Seeds. A training seed needs a term: it shifts all programs. A channel seed does not, crossed or nested: its noise is
drawn anew for every text, so that it has no effect common to programs, and what it did to a text is in x. But rows that
share one damaged text (methods, and all training seeds that share a channel seed) share also what x does not tell of
it, where the erasure lies. With channel seeds nested in five training seeds two rows share a text, and the likelihood
ratio keeps its level: where damaged texts scatter by 1 log-odds it rejects a true hypothesis in 2 of 60 simulated
studies at 5 %. With five training seeds on one channel seed ten rows do, and it rejects in 10 of 40, the fit by
generalised estimating equations below in 1 of 40. So that fit is read beside it, and alone where seeds are crossed.

Residual errors of a row are its wrong and its lost bytes (`residual_errors`); their rate is ``(errors + 1/2) / (bytes
sent + 1)``.
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
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from llm_bridge.scoring.statistics import holm

PRIOR_SD = 5.0
NUM_NODES = 15
FEW_NODES, MANY_ROWS = 7, 60
NEWTON_STEPS = 12
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
class IndependenceFit:
    """The fitted regression; `engine` is "mixed", "gee" or "none" (nothing can be estimated: `reason` says why).

    `p_value` is that of "SF has no effect beyond the residual error rate": by likelihood ratio ("mixed") or Wald
    ("gee"); None where there is one SF only. `p_holm` is the same corrected for the family that it was tested in.
    """

    engine: str
    effects: tuple[Effect, ...] = ()
    num_items: int = 0
    num_programs: int = 0
    reason: str = ""
    p_value: float | None = None
    p_holm: float | None = None

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
        p = self.p_value if self.p_holm is None else self.p_holm
        said = "" if p is None else f", {format_p(p)}{'' if self.p_holm is None else ' after Holm'}"
        seen = self.sf.p_value < 0.05 if p is None else p < 0.05
        verdict = "an effect remains" if seen else f"no effect seen (smallest that n could show: {self.smallest:.2f})"
        return (
            f"SF beyond the residual error rate: {span} log-odds a step{said}, {self.num_items} items of "
            f"{self.num_programs} programs: {verdict}"
        )

    @property
    def smallest(self) -> float | None:
        """Smallest effect of one step of SF that is shown with 80 % power."""
        return None if self.sf is None else LARGEST_MISSED * (self.sf.high - self.sf.low) / 2


LARGEST_MISSED = float((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / stats.norm.ppf(0.975))
"""An effect of so many half-widths of its 95 % interval is shown with 80 % power."""


def fit_independence(
    item_rows: Iterable[Mapping[str, Any]], *, engine: str = "mixed", sf_terms: str = "slope", level: float = 0.95
) -> IndependenceFit:
    """Fit ``correct ~ method * (intact + x + x^2) + sf + (1 | program)``, x = log10(byte error rate).

    Parameters
    ----------
    item_rows
        Rows of ``items.jsonl`` with `method` and `sf` (and `train_seed`, where there are several) joined from their
        cells' configurations; fields used besides: `correct`, `program`, and those that `residual_errors` reads.
    engine
        "mixed" (with "gee" where it fails) or "gee".
    sf_terms
        "slope" or "categories": whether the effect of SF is a straight line.

    Terms that the data do not vary (one method, one SF, no error anywhere) are left out.
    """
    if engine not in ("mixed", "gee"):
        raise ValueError(f"'engine' must be 'mixed' or 'gee' (got {engine!r})")
    if sf_terms not in ("slope", "categories"):
        raise ValueError(f"'sf_terms' must be 'slope' or 'categories' (got {sf_terms!r})")
    rows = [row for row in item_rows if row["delivered"]]  # the others are misses by definition
    right = np.array([float(bool(row["correct"])) for row in rows])
    programs, program_index = np.unique([str(row["program"]) for row in rows], return_inverse=True)
    known = partial(IndependenceFit, num_items=len(rows), num_programs=len(programs))
    if len(rows) == 0 or right.min() == right.max():
        reason = "no items" if len(rows) == 0 else f"every item is {'right' if right.min() else 'wrong'}"
        return known(engine="none", reason=reason)
    if len(programs) < 2:
        return known(engine="none", reason="one program only")
    names, design = _design(rows, sf_terms)
    tested = np.array([name.startswith("sf") for name in names])
    fits = {"mixed": _fit_mixed, "gee": _fit_gee}
    for name in ("mixed", "gee") if engine == "mixed" else ("gee",):
        try:
            found = fits[name](right, design, program_index)
            p_value = None if not tested.any() else _p_without(found, tested, right, design, program_index)
        except (np.linalg.LinAlgError, ValueError, FloatingPointError, RuntimeError, Warning):
            continue
        value = found.value
        with np.errstate(invalid="ignore"):  # a covariance without positive variances is no fit
            spread = np.sqrt(np.diag(found.covariance))
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
            return known(engine=name, effects=effects, p_value=p_value)
    return known(engine="none", reason="the fit did not converge")


def independence_family(
    rows_by_task: Mapping[str, Iterable[Mapping[str, Any]]], *, sf_terms: str = "slope"
) -> dict[str, IndependenceFit]:
    """`fit_independence` of each task, their p values corrected together (Holm); fits without one stay as they are."""
    fits = {task: fit_independence(rows, sf_terms=sf_terms) for task, rows in rows_by_task.items()}
    tested = {task: fit.p_value for task, fit in fits.items() if fit.p_value is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {
        task: replace(fit, p_holm=float(corrected[task])) if task in corrected else fit for task, fit in fits.items()
    }


def format_p(p_value: float) -> str:
    """A p value as written in a sentence.

    Examples
    --------
    >>> format_p(0.0421), format_p(0.0002)
    ('p = 0.042', 'p < 0.001')
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


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


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Coefficients (K,), their covariance (K, K), and the log-likelihood where the method has one."""

    value: np.ndarray
    covariance: np.ndarray
    log_likelihood: float | None = None


def _p_without(found: _Fit, tested: np.ndarray, right: np.ndarray, design: np.ndarray, program: np.ndarray) -> float:
    """Probability of so large a gain by the tested columns if they did nothing: likelihood ratio, else Wald."""
    degrees = int(tested.sum())
    if found.log_likelihood is None:
        value = found.value[tested]
        return float(stats.chi2.sf(value @ np.linalg.solve(found.covariance[np.ix_(tested, tested)], value), degrees))
    without = _fit_mixed(right, design[:, ~tested], program).log_likelihood
    assert without is not None
    return float(stats.chi2.sf(max(0.0, 2 * (found.log_likelihood - without)), degrees))


def _design(rows: list[Mapping[str, Any]], sf_terms: str = "slope") -> tuple[list[str], np.ndarray]:
    """Columns of the fixed effects, those that vary: treatment coding of method, seed and category; centred numbers."""
    errors = np.array([log_byte_error(residual_errors(row), row["bytes_sent"]) for row in rows])
    intact = np.array([bool(row["intact"]) for row in rows])
    errors = np.where(intact, 0.0, errors - errors[~intact].mean() if not intact.all() else 0.0)
    sf = np.array([float(row["sf"]) for row in rows])
    method_of = np.array([str(row["method"]) for row in rows])
    seed_of = np.array([str(row.get("train_seed")) for row in rows])
    columns: dict[str, np.ndarray] = {"intercept": np.ones(len(rows))}
    methods = sorted(set(method_of.tolist()))
    for method in methods[1:]:
        columns[f"method[{method}]"] = (method_of == method).astype(np.float64)
    for method in methods:
        for seed in sorted(set(seed_of[method_of == method].tolist()))[1:]:
            columns[f"seed[{method}:{seed}]"] = ((method_of == method) & (seed_of == seed)).astype(np.float64)
    damage = {"intact": intact.astype(np.float64), "log10_byte_error": errors, "log10_byte_error^2": errors**2}
    for name, column in damage.items():
        if np.ptp(column) > 0:
            columns[name] = column
            columns |= {f"method[{method}]:{name}": columns[f"method[{method}]"] * column for method in methods[1:]}
    if np.ptp(sf) > 0 and sf_terms == "slope":
        columns["sf"] = sf - sf.mean()
    elif np.ptp(sf) > 0:
        columns |= {f"sf[{level:g}]": (sf == level).astype(np.float64) for level in np.unique(sf)[1:]}
    names = list(columns)
    return names, np.stack([columns[name] for name in names], axis=1)


def _fit_mixed(right: np.ndarray, design: np.ndarray, program: np.ndarray) -> _Fit:
    """A random-intercept logistic model: its (penalised) likelihood and gradient by quadrature, its Hessian by those.

    The gradient is the posterior mean of the complete data's (Fisher's identity).
    """
    # rows alike in everything but their answer are one row with counts
    alike, which = np.unique(np.column_stack([program, design]), axis=0, return_inverse=True)
    trials = np.bincount(which.ravel()).astype(np.float64)
    right = np.bincount(which.ravel(), right)
    program, design = alike[:, 0].astype(np.intp), alike[:, 1:]
    num_programs, num_terms = int(program.max()) + 1, design.shape[1]
    prior_precision = np.r_[0.0, np.full(num_terms - 1, PRIOR_SD**-2.0)]
    many = trials.sum() > MANY_ROWS * num_programs  # then each program's integrand is all but normal
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(FEW_NODES if many else NUM_NODES)
    mode = np.zeros(num_programs)  # of u / sd, kept between calls as a warm start

    def negative_log_likelihood(theta: np.ndarray) -> tuple[float, np.ndarray]:
        beta, log_sd = theta[:-1], float(np.clip(theta[-1], *LOG_SD_BOUNDS))
        sd, fixed = math.exp(log_sd), design @ beta
        for _ in range(20):  # Newton: concave in u, a handful of steps
            mean = special.expit(fixed + sd * mode[program])
            slope = sd * np.bincount(program, right - trials * mean, num_programs) - mode
            curvature = 1 + sd * sd * np.bincount(program, trials * mean * (1 - mean), num_programs)
            step = np.clip(slope / curvature, -2.0, 2.0)
            mode[:] += step
            if np.max(np.abs(step)) < 1e-9:
                break
        spread = curvature**-0.5
        terms = np.empty((len(nodes), num_programs))
        places = mode + spread * nodes[:, None]
        for row, u, node, weight in zip(terms, places, nodes, node_weights, strict=True):
            eta = fixed + sd * u[program]
            inside = np.bincount(program, right * eta - trials * np.logaddexp(0.0, eta), num_programs)
            row[:] = inside - u * u / 2 + node * node / 2 + math.log(weight)
        marginal = special.logsumexp(terms, axis=0)
        value = -np.sum(marginal + np.log(spread) - 0.5 * math.log(2 * math.pi))
        gradient = np.zeros(num_terms + 1)
        for u, share in zip(places, np.exp(terms - marginal), strict=True):
            residual = share[program] * (right - trials * special.expit(fixed + sd * u[program]))
            gradient[:-1] -= residual @ design
            gradient[-1] -= np.sum(residual * sd * u[program])
        if not LOG_SD_BOUNDS[0] < theta[-1] < LOG_SD_BOUNDS[1]:
            gradient[-1] = 0.0
        gradient[:-1] += prior_precision * beta
        return float(value + 0.5 * np.sum(prior_precision * beta**2)), gradient

    start = np.r_[np.zeros(num_terms), -0.5]
    start[0] = special.logit(right.sum() / trials.sum())
    found = optimize.minimize(
        negative_log_likelihood,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None)] * num_terms + [LOG_SD_BOUNDS],
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-6},
    )
    best = found.x
    # programs that do not differ put the spread at its bound, where it no longer has a curvature
    free = len(best) if LOG_SD_BOUNDS[0] + 1 < best[-1] < LOG_SD_BOUNDS[1] else len(best) - 1
    for _ in range(NEWTON_STEPS):  # the gradient is not that of the quadrature to the last digit: settle it by its zero
        gradient, information = _curvature(negative_log_likelihood, best, free)
        if np.max(np.abs(gradient)) < 1e-5:
            break
        step = np.linalg.solve(information, gradient)
        best[:free] -= step * min(1.0, 2.0 / np.max(np.abs(step)))
    covariance = np.linalg.inv(information)[:num_terms, :num_terms]
    if np.max(np.abs(gradient)) > 1e-3 or np.any(np.diag(covariance) <= 0):
        raise RuntimeError("the likelihood has no interior maximum")
    return _Fit(value=best[:-1], covariance=covariance, log_likelihood=-negative_log_likelihood(best)[0])


def _curvature(function: Any, at: np.ndarray, free: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian in the first `free` parameters, the Hessian by central differences of the gradient."""
    rows = []
    for direction in np.eye(len(at))[:free]:
        ahead, behind = (function(at + sign * 1e-4 * direction)[1] for sign in (1, -1))
        rows.append(((ahead - behind) / 2e-4)[:free])
    hessian = np.array(rows)
    return function(at)[1][:free], (hessian + hessian.T) / 2


def _fit_gee(right: np.ndarray, design: np.ndarray, program: np.ndarray) -> _Fit:
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
    return _Fit(value=np.asarray(fitted.params), covariance=np.asarray(fitted.cov_params()))
