"""Test of conditional independence: of the answer and the SF, given the residual error rate.

    logit P(correct) = method * (intact + x + x^2) + training seed + b_sf (SF - mean SF) + u_program

Logistic regression with a random intercept for each program, over the items of which any byte arrived;
x = log10(byte error rate) of a damaged item, centred, and 0 of an intact one. (With a straight line in x over all items
the test rejects a true hypothesis nearly always: SF then stands in for the bend.) ``u_program`` is normal (programs
differ, and one program's rows are not independent), ``*`` stands for both main effects and their interaction; a
training seed is a fixed term within its method. The hypothesis is ``b_sf = 0``: at equal residual errors every SF gives
the same score. Its test is the likelihood ratio of the fits with and without SF (chi-squared, 1 degree of freedom; with
``sf_terms="categories"`` one less than there are spreading factors), its family the tasks of one corpus
(`independence_family`, Holm).

Seeds. A training seed needs a term: it shifts all programs. A channel seed does not, crossed or nested: its noise is
drawn anew for every text, so that it has no effect common to programs, and what it did to a text is in x. But rows
that share one damaged text (methods, and all training seeds that share a channel seed) share also what x does not tell
of it, where the erasure lies. With channel seeds nested in five training seeds two rows share a text, and the
likelihood ratio keeps its level: where damaged texts scatter by 1 log-odds it rejects a true hypothesis in 2 of 60
simulated studies at 5 %. With five training seeds on one channel seed ten rows do, and it rejects in 10 of 40, the fit
by generalised estimating equations below in 1 of 40. So that fit is read beside it, and alone where seeds are crossed.

Residual errors of a row are its wrong and its lost bytes (`residual_errors`); their rate is ``(errors + 1/2) / (bytes
sent + 1)``.
Mixed fit: maximum likelihood with the integral over u by adaptive Gauss-Hermite quadrature around each program's mode
(Pinheiro and Bates, JCGS 4, 1995), its gradient and Hessian as posterior moments of the complete data's (Louis, JRSS B
44, 1982), a wide Gaussian prior (sd 5) on slopes keeping separated data finite. statsmodels'
`BinomialBayesMixedGLM` is the check in the tests, not the tool: its posterior has a pole at variance 0 and no mode,
and its variational errors are too small. Where the mixed fit fails, or for `engine="gee"`: statsmodels' generalised
estimating equations, exchangeable within programs, with the cluster-robust covariance (Liang and Zeger, Biometrika 73,
1986); their slopes are population averages, a little smaller.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from llm_bridge.arrays import FloatArray
from llm_bridge.scoring.statistics import holm

if TYPE_CHECKING:
    import pandas as pd

    Items: TypeAlias = pd.DataFrame | Iterable[Mapping[str, Any]]


PRIOR_SD = 5.0
NUM_NODES = 15
FEW_NODES, MANY_ROWS = 7, 60
NEWTON_STEPS = 12
LOG_SD_BOUNDS = (-5.0, 3.0)
LARGEST_MISSED = float((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / stats.norm.ppf(0.975))
"""An effect of so many half-widths of its 95 % interval is shown with 80 % power."""


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

    @property
    def seen(self) -> bool:
        """Whether the (corrected) p value shows an effect of SF."""
        p = self.p_value if self.p_holm is None else self.p_holm
        p = self.sf.p_value if p is None and self.sf is not None else p
        return p is not None and p < 0.05

    @property
    def smallest(self) -> float | None:
        """Smallest effect of one step of SF that is shown with 80 % power."""
        return None if self.sf is None else LARGEST_MISSED * (self.sf.high - self.sf.low) / 2


def fit_independence(items: Items, *, engine: str = "mixed", sf_terms: str = "slope") -> IndependenceFit:
    """Fit ``correct ~ method * (intact + x + x^2) + sf + (1 | program)``, x = log10(byte error rate).

    Parameters
    ----------
    items
        Rows of ``items.jsonl`` (a frame, or mappings) with `method` and `sf`, and `train_seed` where there are several,
        joined from their cells; fields used besides: `correct`, `program`, and those that `residual_errors` reads.
    engine
        "mixed" (with "gee" where it fails) or "gee".
    sf_terms
        "slope" or "categories": whether the effect of SF is a straight line.

    Intervals of the effects are 95 % ones. Terms that the data do not vary (one method, one SF, no error anywhere) are
    left out.
    """
    if engine not in ("mixed", "gee"):
        raise ValueError(f"'engine' must be 'mixed' or 'gee' (got {engine!r})")
    if sf_terms not in ("slope", "categories"):
        raise ValueError(f"'sf_terms' must be 'slope' or 'categories' (got {sf_terms!r})")
    frame = _frame(items)
    if not len(frame):
        return IndependenceFit(engine="none", reason="no items")
    frame = frame[frame["delivered"].astype(bool)]  # the others are misses by definition
    right = frame["correct"].to_numpy(dtype=bool).astype(np.float64)
    if "credit" in frame:  # of a line that stands for several, more than half
        right *= frame["credit"].to_numpy(dtype=np.float64) > 0.5
    programs, program_index = np.unique(frame["program"].to_numpy(dtype=str), return_inverse=True)
    known: dict[str, Any] = {"num_items": len(frame), "num_programs": len(programs)}
    if len(frame) == 0 or right.min() == right.max():
        reason = "no items" if len(frame) == 0 else f"every item is {'right' if right.min() else 'wrong'}"
        return IndependenceFit(engine="none", reason=reason, **known)
    if len(programs) < 2:
        return IndependenceFit(engine="none", reason="one program only", **known)
    names, design = _design(frame, sf_terms)
    tested = np.array([name.startswith("sf") for name in names])
    for name in ("mixed", "gee") if engine == "mixed" else ("gee",):
        try:
            counted = _counted(right, design, program_index) if name == "mixed" else None
            found = _fit_gee(right, design, program_index) if counted is None else _fit_mixed(counted)
            p_value = None if not tested.any() else _p_without(found, tested, counted)
        except (np.linalg.LinAlgError, ValueError, FloatingPointError, RuntimeError, Warning):
            continue
        value = found.value
        with np.errstate(invalid="ignore"):  # a covariance without positive variances is no fit
            spread = np.sqrt(np.diag(found.covariance))
        if np.all(np.isfinite(value)) and np.all(np.isfinite(spread)) and np.all(spread > 0):
            reach = stats.norm.ppf(0.5 + 0.95 / 2)
            two_sided = 2 * stats.norm.sf(np.abs(value) / spread)
            effects = tuple(
                Effect(name=term, value=float(b), low=float(b - reach * s), high=float(b + reach * s), p_value=float(p))
                for term, b, s, p in zip(names, value, spread, two_sided, strict=True)
            )
            return IndependenceFit(engine=name, effects=effects, p_value=p_value, **known)
    return IndependenceFit(engine="none", reason="the fit did not converge", **known)


def independence_family(items_by_task: Mapping[str, Items]) -> dict[str, IndependenceFit]:
    """`fit_independence` of each task, p values corrected together (Holm); fits without one stay as they are."""
    fits = {task: fit_independence(items) for task, items in items_by_task.items()}
    tested = {task: fit.p_value for task, fit in fits.items() if fit.p_value is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {
        task: replace(fit, p_holm=float(corrected[task])) if task in corrected else fit for task, fit in fits.items()
    }


def residual_errors(items: Any) -> Any:
    """Bytes of a text that did not arrive right, wrong or lost ones: of one row, or of each row of a frame (n,).

    Nothing delivered: all of them. Where a row does not count its lost bytes (`bytes_lost`), the share of fragments
    lost stands in.

    Examples
    --------
    >>> row = {"delivered": True, "intact": False, "bytes_sent": 90, "byte_errors": 2, "bytes_lost": 40}
    >>> float(residual_errors(row))
    42.0
    """
    sent, wrong = _numbers(items, "bytes_sent"), _numbers(items, "byte_errors")
    fragments, gone = _numbers(items, "fragments_sent"), _numbers(items, "fragments_lost")
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(fragments > 0, sent * gone / fragments, 0.0)
    lost = _numbers(items, "bytes_lost")
    lost = np.where(np.isnan(lost), share, lost)
    damaged = np.where(np.asarray(items["delivered"], dtype=bool), np.minimum(sent, wrong + lost), sent)
    return np.where(np.asarray(items["intact"], dtype=bool), 0.0, damaged)


def log_byte_error(byte_errors: npt.ArrayLike, bytes_sent: npt.ArrayLike) -> Any:
    """``log10((errors + 1/2) / (bytes + 1))``.

    Examples
    --------
    >>> round(float(log_byte_error(0, 199)), 3)
    -2.602
    """
    rates = (np.asarray(byte_errors, dtype=np.float64) + 0.5) / (np.asarray(bytes_sent, dtype=np.float64) + 1)
    return np.array([math.log10(rate) for rate in rates.ravel().tolist()]).reshape(rates.shape)


class _Fit(NamedTuple):
    """Coefficients (K,), their covariance (K, K); of a mixed model also log(sd of programs) and the log-likelihood."""

    value: FloatArray
    covariance: FloatArray
    log_sd: float = 0.0
    log_likelihood: float | None = None


def _frame(items: Any) -> pd.DataFrame:
    import pandas as pd

    return items if isinstance(items, pd.DataFrame) else pd.DataFrame(list(items))


def _numbers(items: Any, name: str) -> FloatArray:
    """A column or a field as floats; NaN where there is none."""
    value = items.get(name)
    return np.asarray(np.nan if value is None else value, dtype=np.float64)


def _p_without(found: _Fit, tested: Any, rows: _Counted | None) -> float:
    """Probability of so large a gain by the tested columns if they did nothing: likelihood ratio, without rows Wald."""
    degrees = int(tested.sum())
    if rows is None or found.log_likelihood is None:
        value = found.value[tested]
        return float(stats.chi2.sf(value @ np.linalg.solve(found.covariance[np.ix_(tested, tested)], value), degrees))
    start = np.r_[found.value[~tested], found.log_sd]
    without = _fit_mixed(rows._replace(design=rows.design[:, ~tested]), start=start).log_likelihood
    assert without is not None
    return float(stats.chi2.sf(max(0.0, 2 * (found.log_likelihood - without)), degrees))


def _design(items: Any, sf_terms: str = "slope") -> tuple[list[str], FloatArray]:
    """Columns of the fixed effects, those that vary: treatment coding of method, seed and category; centred numbers."""
    frame = _frame(items)
    errors = log_byte_error(residual_errors(frame), frame["bytes_sent"].to_numpy(dtype=np.float64))
    intact = frame["intact"].to_numpy(dtype=bool)
    errors = np.where(intact, 0.0, errors - errors[~intact].mean() if not intact.all() else 0.0)
    sf = frame["sf"].to_numpy(dtype=np.float64)
    method_of = frame["method"].to_numpy(dtype=str)
    seeds = frame["train_seed"].tolist() if "train_seed" in frame else [None] * len(frame)
    seed_names = {seed: _seed_name(seed) for seed in set(seeds)}
    seed_of = np.array([seed_names[seed] for seed in seeds])
    columns: dict[str, FloatArray] = {"intercept": np.ones(len(frame))}
    methods = np.unique(method_of).tolist()
    for method in methods[1:]:
        columns[f"method[{method}]"] = (method_of == method).astype(np.float64)
    for method in methods:
        for seed in np.unique(seed_of[method_of == method]).tolist()[1:]:
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


def _seed_name(seed: Any) -> str:
    """A training seed as it stands in a term's name; a frame's column with gaps holds floats."""
    return "None" if seed is None or seed != seed else f"{seed:g}" if isinstance(seed, float) else str(seed)


def _counted(right: FloatArray, design: FloatArray, program: Any) -> _Counted:
    """Rows alike in everything but their answer as one row with counts, sorted by program."""
    first, which = _distinct(np.column_stack([program, design]))
    trials = np.bincount(which).astype(np.float64)
    return _Counted(np.bincount(which, right).astype(np.float64), trials, design[first], np.asarray(program)[first])


def _fit_mixed(rows: _Counted, *, start: FloatArray | None = None) -> _Fit:
    """A random-intercept logistic model: its penalised likelihood, gradient and Hessian by quadrature over programs.

    `start` holds coefficients and log(sd of programs) to begin with, (K + 1,).
    """
    right, trials, design, program = rows
    num_programs, num_terms = int(program.max()) + 1, design.shape[1]
    blocks = np.searchsorted(program, np.arange(num_programs))
    ends = [*blocks[1:], len(program)]
    prior_precision = np.r_[0.0, np.full(num_terms - 1, PRIOR_SD**-2.0)]
    many = trials.sum() > MANY_ROWS * num_programs  # then each program's integrand is all but normal
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(FEW_NODES if many else NUM_NODES)
    mode = np.zeros(num_programs)  # of u / sd, kept between calls as a warm start

    def quadrature(theta: FloatArray) -> tuple[float, FloatArray, _Moments]:
        """Negative log-likelihood with its prior, its gradient (the posterior mean of the complete data's), moments."""
        beta, sd = theta[:-1], math.exp(float(np.clip(theta[-1], *LOG_SD_BOUNDS)))
        fixed = design @ beta
        for _ in range(20):  # Newton: concave in u, a handful of steps
            mean = special.expit(fixed + sd * mode[program])
            slope = sd * np.bincount(program, right - trials * mean, num_programs) - mode
            curvature = 1 + sd * sd * np.bincount(program, trials * mean * (1 - mean), num_programs)
            step = np.clip(slope / curvature, -2.0, 2.0)
            mode[:] += step
            if np.max(np.abs(step)) < 1e-9:
                break
        spread = curvature**-0.5
        places = mode + spread * nodes[:, None]
        eta = fixed + sd * places[:, program]
        decayed = np.exp(-np.abs(eta))
        mean = np.where(eta >= 0, 1.0, decayed) / (1 + decayed)
        inside = np.add.reduceat(right * eta - trials * (np.maximum(eta, 0.0) + np.log1p(decayed)), blocks, axis=1)
        terms = inside - places**2 / 2 + (nodes**2 / 2 + np.log(node_weights))[:, None]
        marginal = special.logsumexp(terms, axis=0)
        value = -np.sum(marginal + np.log(spread) - 0.5 * math.log(2 * math.pi))
        share, residual, scaled = np.exp(terms - marginal), right - trials * mean, sd * places
        per_program = np.add.reduceat(residual, blocks, axis=1)
        along = np.sum(share * scaled * per_program) if LOG_SD_BOUNDS[0] < theta[-1] < LOG_SD_BOUNDS[1] else 0.0
        expected = np.sum(share[:, program] * residual, axis=0) @ design
        gradient = np.r_[prior_precision * beta - expected, -along]
        found = _Moments(share, mean, residual, per_program, scaled)
        return float(value + 0.5 * np.sum(prior_precision * beta**2)), gradient, found

    def curvature_of(m: _Moments) -> FloatArray:
        """Hessian by Louis' identity: the mean Hessian over u less the scatter of the gradients."""
        weight = trials * m.mean * (1 - m.mean)
        bent = m.share[:, program] * weight
        hessian = np.zeros((num_terms + 1, num_terms + 1))
        hessian[:-1, :-1] = design.T @ (np.sum(bent, axis=0)[:, None] * design) + np.diag(prior_precision)
        hessian[:-1, -1] = hessian[-1, :-1] = design.T @ np.sum(bent * m.scaled[:, program], axis=0)
        squared = np.add.reduceat(weight, blocks, axis=1) * m.scaled**2
        hessian[-1, -1] = np.sum(m.share * (squared - m.per_program * m.scaled))
        scatter = np.empty((len(nodes), num_programs, num_terms + 1))
        scatter[:, :, -1] = m.per_program * m.scaled
        for p, (begin, end) in enumerate(zip(blocks, ends, strict=True)):
            scatter[:, p, :-1] = m.residual[:, begin:end] @ design[begin:end]
        scatter -= np.einsum("jp,jpk->pk", m.share, scatter)
        scatter *= np.sqrt(m.share)[:, :, None]
        flat = scatter.reshape(-1, num_terms + 1)
        return np.asarray(hessian - flat.T @ flat)

    def newton(theta: FloatArray, free: int) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        """Place, gradient, Hessian and value where the gradient in the first `free` parameters is zero, or nearly."""
        value, gradient, found = quadrature(theta)
        for _ in range(NEWTON_STEPS):
            hessian = curvature_of(found)[:free, :free]
            if np.max(np.abs(gradient[:free])) < 1e-5:
                break
            step = np.linalg.solve(hessian, gradient[:free])
            theta = theta.copy()
            theta[:free] -= step * min(1.0, 2.0 / np.max(np.abs(step)))
            value, gradient, found = quadrature(theta)
        return theta, gradient[:free], hessian, value

    if start is None:
        start = np.r_[special.logit(right.sum() / trials.sum()), np.zeros(num_terms - 1), -0.5]
    best, gradient, hessian, value = start, np.full(num_terms + 1, np.inf), np.eye(num_terms + 1), 0.0
    if many:
        with contextlib.suppress(np.linalg.LinAlgError):
            best, gradient, hessian, value = newton(start, num_terms + 1)
    inner = LOG_SD_BOUNDS[0] + 1 < best[-1] < LOG_SD_BOUNDS[1]
    if not inner or np.max(np.abs(gradient)) > 1e-5 or np.any(np.linalg.eigvalsh(hessian) <= 0):
        mode[:] = 0.0  # few rows, separated programs, or such that do not differ: slowly, and with bounds
        found = optimize.minimize(
            lambda theta: quadrature(theta)[:2],
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(None, None)] * num_terms + [LOG_SD_BOUNDS],
            options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-6},
        )
        # programs that do not differ put the spread at its bound, where it no longer has a curvature
        inner = LOG_SD_BOUNDS[0] + 1 < found.x[-1] < LOG_SD_BOUNDS[1]
        # the gradient is not that of the quadrature to the last digit: settle it by its zero
        best, gradient, hessian, value = newton(found.x, num_terms + 1 if inner else num_terms)
    covariance = np.asarray(np.linalg.inv(hessian)[:num_terms, :num_terms], dtype=np.float64)
    if np.max(np.abs(gradient)) > 1e-3 or np.any(np.diag(covariance) <= 0):
        raise RuntimeError("the likelihood has no interior maximum")
    return _Fit(value=best[:-1], covariance=covariance, log_sd=float(best[-1]), log_likelihood=-value)


class _Counted(NamedTuple):
    """Distinct rows: how many right answers and how many in all (N,), fixed effects (N, K) and program (N,)."""

    right: FloatArray
    trials: FloatArray
    design: FloatArray
    program: npt.NDArray[np.intp]


class _Moments(NamedTuple):
    """At the nodes (J) of each program (P) or row (N): posterior share (J, P), mean and residual (J, N), sums, sd u."""

    share: FloatArray
    mean: FloatArray
    residual: FloatArray
    per_program: FloatArray
    scaled: FloatArray


def _distinct(table: FloatArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Places of the distinct rows of a table, sorted by its first column, and for each row which of them it is."""
    flags = np.all((table == 0) | (table == 1), axis=0)  # these are digits of one binary number
    flags[0] = False
    codes = np.unique(table[:, flags] @ 2.0 ** np.arange(flags.sum()), return_inverse=True)[1].ravel()
    for column in reversed(np.flatnonzero(~flags)):
        values, code = np.unique(table[:, column], return_inverse=True)
        if len(values) > 1:  # mixed radix, made small again after each column
            codes = np.unique(code.ravel() * (codes.max() + 1) + codes, return_inverse=True)[1].ravel()
    _, first, which = np.unique(codes, return_index=True, return_inverse=True)
    return first, which.ravel()


def _fit_gee(right: FloatArray, design: FloatArray, program: Any) -> _Fit:
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
