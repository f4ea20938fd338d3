"""Write `codelets.py` and `pipelines/`: the FFT's straight-line inner loops and the kernels of each SF around them.

    python -m lora_phy.kernels.generate_codelets          rewrites the files; the tests compare them with this script

A codelet is a discrete Fourier transform of 4, 8 or 16 points, written out line by line on lanes, with the loads before
it and the twiddle factors, powers or decisions after it. Straight lines, not loops over small arrays, because LLVM
keeps named vectors in registers; real files, not `exec`, because numba caches what has a file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

from lora_phy.kernels.plans import NOISE_AT, PLANS, RADICES

Complex = tuple[str, str]


class Writer:
    """Lines of one function, with fresh names for intermediate values."""

    def __init__(self, indent: int) -> None:
        """Begin at an indent, in steps of four spaces."""
        self.lines: list[str] = []
        self.indent = indent
        self.count = 0
        self.constants: dict[str, float] = {}

    def line(self, text: str) -> None:
        """Append one line at the current indent."""
        self.lines.append("    " * self.indent + text)

    def name(self, expression: str) -> str:
        """Assign an expression to a fresh name."""
        self.count += 1
        name = f"t{self.count}"
        self.line(f"{name} = {expression}")
        return name

    def constant(self, value: float) -> str:
        """The name of a constant of the file, in all lanes."""
        for name, known in (("_C1", math.cos(math.pi / 8)), ("_S1", math.sin(math.pi / 8)), ("_H", math.sqrt(0.5))):
            if math.isclose(value, known, abs_tol=1e-12):
                self.constants[name.strip("_").lower()] = known
                return name.strip("_").lower()
        raise ValueError(value)


def add(w: Writer, a: Complex, b: Complex) -> Complex:
    """a + b."""
    return w.name(f"{a[0]} + {b[0]}"), w.name(f"{a[1]} + {b[1]}")


def sub(w: Writer, a: Complex, b: Complex) -> Complex:
    """a - b."""
    return w.name(f"{a[0]} - {b[0]}"), w.name(f"{a[1]} - {b[1]}")


def turn(w: Writer, x: Complex, sixteenths: int) -> Complex:
    """X times exp(-2 pi j sixteenths / 16), by the cheapest way."""
    k = sixteenths % 16
    if k == 0:
        return x
    if k >= 8:
        re, im = turn(w, x, k - 8)
        return w.name(f"-{re}"), w.name(f"-{im}")
    if k == 4:
        return x[1], w.name(f"-{x[0]}")
    if k == 2:
        h = w.constant(math.sqrt(0.5))
        return w.name(f"({x[1]} + {x[0]}) * {h}"), w.name(f"({x[1]} - {x[0]}) * {h}")
    if k == 6:
        h = w.constant(math.sqrt(0.5))
        re = w.name(f"({x[1]} - {x[0]}) * {h}")
        return re, w.name(f"-(({x[1]} + {x[0]}) * {h})")
    angle = 2 * math.pi * k / 16
    c, s = math.cos(angle), math.sin(angle)
    cn, sn = w.constant(abs(c)), w.constant(abs(s))
    # (re + j im)(c - j s) with c of either sign, s positive
    sign = "" if c > 0 else "-"
    re = w.name(f"fma({sign}{x[0]}, {cn}, {x[1]} * {sn})")
    im = w.name(f"fma({sign}{x[1]}, {cn}, -({x[0]} * {sn}))")
    return re, im


def dft(w: Writer, x: list[Complex]) -> list[Complex]:
    """The DFT of 1, 2 or 4 named values, in natural order."""
    n = len(x)
    if n == 1:
        return x
    if n == 2:
        return [add(w, x[0], x[1]), sub(w, x[0], x[1])]
    if n == 4:
        s, d = add(w, x[0], x[2]), sub(w, x[0], x[2])
        t, e = add(w, x[1], x[3]), sub(w, x[1], x[3])
        y1 = w.name(f"{d[0]} + {e[1]}"), w.name(f"{d[1]} - {e[0]}")
        y3 = w.name(f"{d[0]} - {e[1]}"), w.name(f"{d[1]} + {e[0]}")
        return [add(w, s, t), y1, sub(w, s, t), y3]
    raise ValueError(n)


def transform(w: Writer, n: int, read: Callable[[int], Complex], write: Callable[[int, Complex], None]) -> None:
    """The DFT of n values that are read when they are needed, each output written when it is known.

    n = 4 x rows: DFTs of `rows` down the columns, a turn, DFTs of 4 along the rows. A column is read just before its
    transform and a row written just after it, so that few values wait: what does not fit the registers goes to memory.
    """
    rows = max(n // 4, 1)
    columns = [dft(w, [read(c + 4 * i) for i in range(rows)]) for c in range(4)]
    for q in range(rows):
        row = dft(w, [turn(w, columns[c][q], c * q * 16 // n) for c in range(4)])
        for r in range(4):
            write(q + rows * r, row[r])


def constants(w: Writer) -> list[str]:
    """The lines that spread the used constants over the lanes, to stand before the loop."""
    return [f"    {name} = splat(_{name.upper()})" for name in sorted(w.constants)]


def twiddle_and_store(w: Writer, n: int) -> Callable[[int, Complex], None]:
    """A `write` that multiplies output p by entry (j, p) of the twiddle table and stores it in row p, place j."""
    w.line("d = 16 * (dst_base + j)")
    w.line(f"k = {2 * (n - 1)} * j")

    def write(p: int, value: Complex) -> None:
        re, im = value
        if p:
            w.line(f"wr = load_splat(twiddles, k + {2 * p - 2})")
            w.line(f"wi = load_splat(twiddles, k + {2 * p - 1})")
            re, im = w.name(f"fma({re}, wr, -({im} * wi))"), w.name(f"fma({re}, wi, {im} * wr)")
        place = f"d + 16 * {p} * dst_stride" if p else "d"
        w.line(f"store(dst, {place}, {re})")
        w.line(f"store(dst, {place} + 8, {im})")

    return write


def load_from(w: Writer, array: str, stride: str) -> Callable[[int], Complex]:
    """A `read` of complex vectors that lie `stride` apart from float index s on."""

    def read(a: int) -> Complex:
        place = f"s + 16 * {a} * {stride}" if a else "s"
        return w.name(f"load({array}, {place})"), w.name(f"load({array}, {place} + 8)")

    return read


def pass_codelet(n: int) -> str:
    """The source of a first or middle pass."""
    w = Writer(2)
    w.line("s = 16 * (src_base + j)")
    transform(w, n, load_from(w, "src", "src_stride"), twiddle_and_store(w, n))
    head = f'''@njit
def pass_{n}(src, src_base, src_stride, dst, dst_base, dst_stride, count, twiddles):
    """`count` butterflies of {n}: inputs `src_stride` apart, output p times w(j, p) to row p."""'''
    return "\n".join([head, *constants(w), "    for j in range(count):", *w.lines])


def noise_lines(pair: int) -> list[str]:
    """Lines that put two vectors of noise into the scratch memory."""
    at = NOISE_AT + 32 * pair
    return [
        "rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)",
        f"store(scratch, {at}, re0)",
        f"store(scratch, {at + 8}, im0)",
        f"store(scratch, {at + 16}, re1)",
        f"store(scratch, {at + 24}, im1)",
    ]


def noise_codelet(n: int) -> str:
    """The source of the noise of one butterfly."""
    head = f'''@njit
def noise_{n}(rng, minus_power, scratch):
    """{n} vectors of complex noise into `scratch`; returns the generators' state."""'''
    lines = ["    " + line for pair in range(n // 2) for line in noise_lines(pair)]
    return "\n".join([head, *lines, "    return rng"])


def link_codelet(n: int) -> str:
    """The source of a first pass whose inputs are made on the spot: chirp, channel gain, noise, dechirp."""
    w = Writer(2)
    w.line(f"c = {2 * n} * j")
    values = []
    for a in range(n):
        w.line(f"ar = load(scratch, {16 * a})")
        w.line(f"ai = load(scratch, {16 * a + 8})")
        w.line("tr = fma(ar, br, -(ai * bi))")
        w.line("ti = fma(ar, bi, ai * br)")
        w.line(f"cr = load_splat(chirp, c + {2 * a})")
        w.line(f"ci = load_splat(chirp, c + {2 * a + 1})")
        w.line(f"yr = fma(cr, tr, fma(-ci, ti, load(scratch, {NOISE_AT + 16 * a})))")
        w.line(f"yi = fma(cr, ti, fma(ci, tr, load(scratch, {NOISE_AT + 16 * a + 8})))")
        values.append((w.name("fma(yr, cr, yi * ci)"), w.name("fma(yi, cr, -(yr * ci))")))
    w.line("br, bi = fma(br, ur, -(bi * ui)), fma(br, ui, bi * ur)")
    made = len(w.lines)
    transform(w, n, values.__getitem__, twiddle_and_store(w, n))
    # the noise of the next butterfly, spread among the lines of this transform: multiplications among additions
    made_lines, rest = w.lines[:made], w.lines[made:]
    pairs = n // 2
    lines = []
    for pair in range(pairs):
        lines += rest[len(rest) * pair // pairs : len(rest) * (pair + 1) // pairs]
        lines += ["    " * w.indent + line for line in noise_lines(pair)]
    head = f'''@njit
def link_{n}(rng, minus_power, scratch, br, bi, ur, ui, chirp, dst, dst_base, dst_stride, count, twiddles):
    """A first pass of {n} on received and dechirped samples that are made here; returns the generators' state.

    Sample n = j + a * count of the eight symbols is chirp(n) * A(a) * B(j) + noise; A(a) lies in `scratch`, B(0) is
    (br, bi) and B(j + 1) = B(j) * (ur, ui). The noise of the first butterfly must lie there, that of the one after the
    last is left there.
    """'''
    return "\n".join([head, *constants(w), "    for j in range(count):", *made_lines, *lines, "    return rng"])


def argmax_codelet(n: int) -> str:
    """The source of a last pass that keeps the strongest bin."""
    w = Writer(2)
    w.line("s = 16 * (base + q * block_stride)")
    powers = [""] * n

    def write(p: int, value: Complex) -> None:
        re, im = value
        powers[p] = w.name(f"fma({re}, {re}, {im} * {im})")

    transform(w, n, load_from(w, "work", "1"), write)
    level = powers
    while len(level) > 1:
        level = [w.name(f"maximum({a}, {b})") for a, b in zip(level[::2], level[1::2], strict=True)]
    w.line(f"better = {level[0]} > best")
    w.line("if mask_bits(better) != 0:")
    w.indent += 1
    w.line(f"best = select(better, {level[0]}, best)")
    w.line("k = np.uint32(k_first + q * k_block)")
    for r, power in enumerate(powers):
        w.line(f"where = select(better & ({power} == best), splat_u32(k + np.uint32({r} * k_out)), where)")
    head = f'''@njit
def argmax_{n}(work, base, block_stride, count, k_first, k_block, k_out, best, where):
    """Transform `count` blocks of {n}; output r of block q is bin k_first + q * k_block + r * k_out.

    Returns the largest power so far and its bin, lane by lane. The bin is looked for only in blocks that beat the
    largest power so far, which become rare.
    """'''
    return "\n".join([head, *constants(w), "    for q in range(count):", *w.lines, "    return best, where"])


def output_codelet(n: int, power: bool) -> str:
    """The source of a last pass that stores powers or values in natural order."""
    w = Writer(2)
    w.line("s = 16 * (base + q * block_stride)")
    w.line("k = k_first + q * k_block")

    def write(r: int, value: Complex) -> None:
        re, im = value
        if power:
            w.line(f"store(out, 8 * (k + {r} * k_out), fma({re}, {re}, {im} * {im}))")
        else:
            w.line(f"store(out, 16 * (k + {r} * k_out), {re})")
            w.line(f"store(out, 16 * (k + {r} * k_out) + 8, {im})")

    transform(w, n, load_from(w, "work", "1"), write)
    name, what = (f"power_{n}", "powers") if power else (f"spectrum_{n}", "values")
    head = f'''@njit
def {name}(work, base, block_stride, count, out, k_first, k_block, k_out):
    """Transform `count` blocks of {n} and store {what}; output r of block q is k_first + q * k_block + r * k_out."""'''
    return "\n".join([head, *constants(w), "    for q in range(count):", *w.lines])


CODELETS_HEAD = '''# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""Straight-line transforms of 4, 8 and 16 points on lanes. Written by `generate_codelets.py`; do not edit.

A complex vector is sixteen floats: the real parts of eight symbols, then their imaginary parts.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from lora_phy.kernels.lanes import fma, load, load_splat, mask_bits, maximum, select, splat, splat_u32, store
from lora_phy.kernels.randomness import gaussian_pair

_H = np.float32(math.sqrt(0.5))
_C1 = np.float32(math.cos(math.pi / 8))
_S1 = np.float32(math.sin(math.pi / 8))
'''


def codelets_source() -> str:
    """The text of `codelets.py`."""
    parts = [CODELETS_HEAD]
    for n in RADICES:
        parts += [
            pass_codelet(n),
            noise_codelet(n),
            link_codelet(n),
            argmax_codelet(n),
            output_codelet(n, True),
            output_codelet(n, False),
        ]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


PIPELINES_HEAD = '''# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""The kernels of SF{sf}, {plan}. Written by `generate_codelets.py`; do not edit.

Built on sources {built_on}: numba recompiles a cached function when its own file changes, and looks at no other.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lora_phy.kernels import codelets
from lora_phy.kernels.lanes import CACHE, splat, splat_u32, store
from lora_phy.kernels.layout import bit_metrics, gather, scatter_magnitudes
from lora_phy.kernels.randomness import load_state, store_state
from lora_phy.kernels.tables import channel_factors
'''


def rest_of_plan(plan: tuple[int, ...], last: str, tail: str, rows: str, indent: int) -> list[str]:
    """Lines of the middle and last passes over rows given by `rows` = "first, stop, step"."""
    n = math.prod(plan)
    row = n // plan[0] + 1
    pad = "    " * indent
    result = f"{tail} = " if tail else ""
    start, stop, step = rows.split(", ")
    if len(plan) == 2:
        count = f"({stop} - {start} + {step} - 1) // {step}" if rows != f"0, {plan[0]}, 1" else str(plan[0])
        args = last.format(base=f"{start} * {row}" if start != "0" else "0", stride=f"{step} * {row}", count=count)
        args = args.format(first=start, block=step, out=plan[0])
        return [f"{pad}{result}{args}"]
    _, r2, r3 = plan
    args = last.format(base="base", stride=r3, count=r2).format(first="p", block=plan[0], out=plan[0] * r2)
    return [
        f"{pad}for p in range({rows}):",
        f"{pad}    base = p * {row}",
        f"{pad}    codelets.pass_{r2}(work, base, {r3}, work, base, {r3}, {r3}, twiddles2)",
        f"{pad}    {result}{args}",
    ]


def last_call(kind: str, radix: int, out: str) -> str:
    """Template of a call of a last-pass codelet."""
    where = "{{first}}, {{block}}, {{out}}"
    if kind == "argmax":
        return f"codelets.argmax_{radix}(work, {{base}}, {{stride}}, {{count}}, {where}, best, where)"
    return f"codelets.{kind}_{radix}(work, {{base}}, {{stride}}, {{count}}, {out}, {where})"


def pipelines_of(sf: int) -> list[str]:
    """The kernels of one spreading factor."""
    plan = PLANS[sf]
    n, r1 = 2**sf, plan[0]
    count, row = n // r1, n // r1 + 1
    legal, everything = f"first_row, {r1}, row_step", f"0, {r1}, 1"
    argmax = rest_of_plan(plan, last_call("argmax", plan[-1], ""), "best, where", legal, 2)
    power = rest_of_plan(plan, last_call("power", plan[-1], "powers"), "", everything, 2)
    prepare = f"""        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, {n - 1}, {r1}, scratch
        )
        rng = codelets.link_{r1}(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, {row}, {count}, twiddles1
        )"""
    tables = "chirp, roots, twiddles1, twiddles2 = tables"
    link = f'''@njit(cache=CACHE, nogil=True)
def link(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    {tables}
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    rng = codelets.noise_{r1}(rng, minus_power, scratch)
    for g in range(symbols.size // 8):
{prepare}
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
{chr(10).join(argmax)}
        store(decisions, 8 * g, where)
    store_state(state, rng)'''
    soft = f'''@njit(cache=CACHE, nogil=True)
def link_soft(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    {tables}
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    rng = codelets.noise_{r1}(rng, minus_power, scratch)
    for g in range(symbols.size // 8):
{prepare}
{chr(10).join(power)}
        if num_bits == 0:
            scatter_magnitudes(powers, {n}, out, {8 * n} * g)
        else:
            bit_metrics(powers, {n}, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)'''
    transform = f"""        gather(iq, {2 * n} * 8 * g, {2 * n}, {n}, dechirp, sign, samples)
        codelets.pass_{r1}(samples, 0, {count}, work, 0, {row}, {count}, twiddles1)"""
    demodulate = f'''@njit(cache=CACHE, nogil=True)
def demodulate(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    {tables}
    _, work, samples = buffers
    for g in range(decisions.size // 8):
{transform}
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
{chr(10).join(argmax)}
        store(decisions, 8 * g, where)'''
    bins = f'''@njit(cache=CACHE, nogil=True)
def bins(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    {tables}
    _, work, samples = buffers
    for g in range(iq.size // {16 * n}):
{transform}
{chr(10).join(power)}
        if num_bits == 0:
            scatter_magnitudes(powers, {n}, out, {8 * n} * g)
        else:
            bit_metrics(powers, {n}, order, num_bits, out, 8 * num_bits * g)'''
    spectrum = rest_of_plan(plan, last_call("spectrum", plan[-1], "target"), "", everything, 2)
    fft = f'''@njit(cache=CACHE, nogil=True)
def fft(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    {tables}
    _, work, _ = buffers
    for g in range(samples.size // {16 * n}):
        codelets.pass_{r1}(samples, {n} * g, {count}, work, 0, {row}, {count}, twiddles1)
        target = out[{16 * n} * g : {16 * n} * (g + 1)]
{chr(10).join(spectrum)}'''
    return [link, soft, demodulate, bins, fft]


def built_on() -> str:
    """A hash of every source that is compiled into the pipelines."""
    digest = hashlib.sha256(codelets_source().encode())
    for name in ("lanes", "layout", "randomness", "tables"):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def pipelines_source(sf: int) -> str:
    """The text of `pipelines/sf<sf>.py`."""
    head = PIPELINES_HEAD.format(sf=sf, plan=" x ".join(map(str, PLANS[sf])), built_on=built_on())
    return "\n\n\n".join(part.strip("\n") for part in [head, *pipelines_of(sf)]) + "\n"


def main() -> None:
    """Write the files beside this one."""
    folder = Path(__file__).parent
    (folder / "codelets.py").write_text(codelets_source(), encoding="utf-8")
    for sf in PLANS:
        (folder / "pipelines" / f"sf{sf}.py").write_text(pipelines_source(sf), encoding="utf-8")


if __name__ == "__main__":
    main()
