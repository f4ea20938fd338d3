"""Eight float32 lanes as a numba type: one kernel line works on eight symbols at once.

    lane      0    1    2    3    4    5    6    7
    symbol    s    s+1  s+2  s+3  s+4  s+5  s+6  s+7        one `F32`: the same sample of eight symbols

Inside an ``@njit`` function a value of type `F32` (eight float32), `U32` (eight uint32) or `MASK` (eight truth values)
behaves like a scalar: ``a + b``, ``fma(a, b, c)``, ``select(a > b, a, b)``. It becomes LLVM's ``<8 x float>``, one AVX
register, two SSE or NEON registers. Nothing is left to the auto-vectoriser, which loses a factor of six to ten here.

The results are the same bits on every machine: only correctly rounded operations are used (no approximate reciprocals,
no re-association), and where the processor has no fused multiply-add, `fma` is emulated exactly: product and sum in
double precision, rounded to odd, then to single (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums",
IEEE Trans. Computers 57(4), 2008). That is the plain path, slower and with the same counts; it is selected when the
code is compiled for a processor without FMA, or by ``LORA_PHY_LANES=plain`` in the environment.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.datamodel import models
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic as _numba_intrinsic
from numba.extending import lower_builtin, register_model

from lora_phy.kernels.cache import CAN_KEEP

LANES = 8
_CACHE_LINE_BYTES = 64


def _has_fma() -> bool:
    """Whether the code will be compiled for a processor with a fused multiply-add."""
    if os.environ.get("LORA_PHY_LANES") == "plain":
        return False
    if not llvm.get_process_triple().startswith(("x86_64", "i686", "i386")):
        return True  # AArch64, POWER and RISC-V have one
    features, name = getattr(config, "CPU_FEATURES", None), getattr(config, "CPU_NAME", None)
    if features is not None:
        return "+fma" in features.split(",")
    if name == "generic":
        return False
    return bool(llvm.get_host_cpu_features().get("fma", False))


PLAIN = not _has_fma()
"""True where `fma` is emulated."""
CACHE = CAN_KEEP and os.environ.get("LORA_PHY_LANES") != "plain"
"""Whether kernels may be cached: numba files them by processor, and would not tell a forced plain path apart."""


def aligned_empty(size: int, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """A vector that starts on a cache line, so that no lane access straddles two (numpy aligns to 16 bytes only).

    Examples
    --------
    >>> aligned_empty(24).ctypes.data % 64
    0
    """
    item = np.dtype(dtype).itemsize
    raw = np.empty(size * item + _CACHE_LINE_BYTES, np.uint8)
    skip = -raw.ctypes.data % _CACHE_LINE_BYTES
    return raw[skip : skip + size * item].view(dtype)


class _Lanes(types.Type):
    """One of the three lane types; `element` is the LLVM type of a lane."""

    def __init__(self, name: str, element: ir.Type) -> None:
        super().__init__(name=f"lanes({name})")
        self.vector = ir.VectorType(element, LANES)


_f32, _i32, _i1, _f64, _i64 = ir.FloatType(), ir.IntType(32), ir.IntType(1), ir.DoubleType(), ir.IntType(64)
F32 = _Lanes("float32", _f32)
U32 = _Lanes("uint32", _i32)
MASK = _Lanes("bool", _i1)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, fe_type.vector)


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's intrinsic, typed for those who call it from compiled code."""
    return _numba_intrinsic(function)


def _constant(element: ir.Type, value: float | int) -> ir.Constant:
    return ir.Constant(ir.VectorType(element, LANES), [value] * LANES)


# ---- operators ------------------------------------------------------------------------------------------------------
_OPERATORS = {
    operator.add: {F32: "fadd", U32: "add"},
    operator.sub: {F32: "fsub", U32: "sub"},
    operator.mul: {F32: "fmul", U32: "mul"},
    operator.and_: {U32: "and_", MASK: "and_"},
    operator.or_: {U32: "or_", MASK: "or_"},
    operator.xor: {U32: "xor", MASK: "xor"},
}
_COMPARISONS = {operator.gt: ">", operator.ge: ">=", operator.lt: "<", operator.le: "<=", operator.eq: "=="}


def _register_operator(op: Any, lane_type: _Lanes, method: str) -> None:
    @lower_builtin(op, lane_type, lane_type)
    def lower(context, builder, sig, args):
        return getattr(builder, method)(*args)


def _register_comparison(op: Any, lane_type: _Lanes, symbol: str) -> None:
    @lower_builtin(op, lane_type, lane_type)
    def lower(context, builder, sig, args):
        compare = builder.fcmp_ordered if lane_type is F32 else builder.icmp_unsigned
        return compare(symbol, *args)


for _op, _methods in _OPERATORS.items():
    infer_global(_op)(
        type(f"_Lanes_{_op.__name__}", (ConcreteTemplate,), {"cases": [signature(t, t, t) for t in _methods]})
    )
    for _type, _method in _methods.items():
        _register_operator(_op, _type, _method)
for _op, _symbol in _COMPARISONS.items():
    infer_global(_op)(
        type(f"_Lanes_{_op.__name__}", (ConcreteTemplate,), {"cases": [signature(MASK, t, t) for t in (F32, U32)]})
    )
    for _type in (F32, U32):
        _register_comparison(_op, _type, _symbol)


@infer_global(operator.neg)
class _LanesNeg(ConcreteTemplate):
    cases = [signature(F32, F32)]  # noqa: RUF012 (numba's protocol)


@lower_builtin(operator.neg, F32)
def _lower_neg(context, builder, sig, args):
    return builder.fneg(args[0])


# ---- memory ---------------------------------------------------------------------------------------------------------
def _pointer(context, builder, array_type, array, index, vector):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _lane_type_of(array: types.Array) -> _Lanes:
    return F32 if array.dtype == types.float32 else U32


@intrinsic
def load(typingctx, array, index):
    """Lanes from ``array[index : index + 8]``, a contiguous float32 or uint32 vector; no bounds check."""
    lanes = _lane_type_of(array)

    def codegen(context, builder, sig, args):
        result = builder.load(_pointer(context, builder, sig.args[0], args[0], args[1], lanes.vector))
        result.align = 4
        return result

    return lanes(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Write eight lanes to ``array[index : index + 8]``; no bounds check."""

    def codegen(context, builder, sig, args):
        instruction = builder.store(args[2], _pointer(context, builder, sig.args[0], args[0], args[1], value.vector))
        instruction.align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


def _splat(builder, scalar, element):
    undefined = ir.Constant(ir.VectorType(element, LANES), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(_i32, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_i32, LANES), [0] * LANES))


@intrinsic
def splat(typingctx, value):
    """A float32 in all eight lanes."""
    return F32(types.float32), lambda context, builder, sig, args: _splat(builder, args[0], _f32)


@intrinsic
def load_splat(typingctx, array, index):
    """One float32 of a vector in all eight lanes (one broadcasting load); no bounds check."""

    def codegen(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return _splat(builder, builder.load(builder.gep(data, [args[1]])), _f32)

    return F32(array, types.intp), codegen


@intrinsic
def splat_u32(typingctx, value):
    """A uint32 in all eight lanes."""
    return U32(types.uint32), lambda context, builder, sig, args: _splat(builder, args[0], _i32)


@intrinsic
def get_lane(typingctx, value, index):
    """One lane as a scalar."""
    scalar = types.float32 if value is F32 else types.uint32

    def codegen(context, builder, sig, args):
        return builder.extract_element(args[0], builder.trunc(args[1], _i32))

    return scalar(value, types.int64), codegen


@intrinsic
def set_lane(typingctx, value, index, scalar):
    """A copy with one lane replaced."""
    scalar_type = types.float32 if value is F32 else types.uint32

    def codegen(context, builder, sig, args):
        return builder.insert_element(args[0], args[2], builder.trunc(args[1], _i32))

    return value(value, types.int64, scalar_type), codegen


# ---- arithmetic -----------------------------------------------------------------------------------------------------
def _call(builder, name, *args):
    function_type = ir.FunctionType(args[0].type, [a.type for a in args])
    return builder.call(builder.module.declare_intrinsic(name, fnty=function_type), args)


def _exact_fma(builder, a, b, c):
    """``a * b + c`` rounded once, without an FMA instruction: round to odd in double, then to single."""
    wide, bits = ir.VectorType(_f64, LANES), ir.VectorType(_i64, LANES)
    a, b, c = (builder.fpext(v, wide) for v in (a, b, c))
    product = builder.fmul(a, b)  # exact: 24 + 24 bits fit 53
    total = builder.fadd(product, c)
    part = builder.fsub(total, product)  # two-sum: the exact error of the addition
    error = builder.fadd(builder.fsub(product, builder.fsub(total, part)), builder.fsub(c, part))
    raw = builder.bitcast(total, bits)
    zero, one = _constant(_f64, 0.0), _constant(_i64, 1)
    inexact = builder.fcmp_ordered("!=", error, zero)
    even = builder.icmp_unsigned("==", builder.and_(raw, one), _constant(_i64, 0))
    outwards = builder.icmp_unsigned(
        "==", builder.fcmp_ordered(">", error, zero), builder.fcmp_ordered(">", total, zero)
    )
    odd = builder.select(outwards, builder.add(raw, one), builder.sub(raw, one))
    total = builder.bitcast(builder.select(builder.and_(inexact, even), odd, raw), wide)
    return builder.fptrunc(total, F32.vector)


@intrinsic
def fma(typingctx, a, b, c):
    """``a * b + c``, rounded once."""

    def codegen(context, builder, sig, args):
        return _exact_fma(builder, *args) if PLAIN else _call(builder, "llvm.fma.v8f32", *args)

    return F32(F32, F32, F32), codegen


@intrinsic
def sqrt(typingctx, a):
    """Correctly rounded square root."""
    return F32(F32), lambda context, builder, sig, args: _call(builder, "llvm.sqrt.v8f32", *args)


@intrinsic
def select(typingctx, mask, a, b):
    """`a` where `mask` is true, else `b`."""
    return a(MASK, a, a), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def maximum(typingctx, a, b):
    """Lane by lane the larger one."""

    def codegen(context, builder, sig, args):
        compare = builder.fcmp_ordered if a is F32 else builder.icmp_unsigned
        return builder.select(compare(">", *args), *args)

    return a(a, a), codegen


@intrinsic
def minimum(typingctx, a, b):
    """Lane by lane the smaller one."""

    def codegen(context, builder, sig, args):
        compare = builder.fcmp_ordered if a is F32 else builder.icmp_unsigned
        return builder.select(compare("<", *args), *args)

    return a(a, a), codegen


@intrinsic
def mask_bits(typingctx, mask):
    """The eight truth values as an integer, lane 0 in the lowest bit."""

    def codegen(context, builder, sig, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(8)), _i64)

    return types.int64(MASK), codegen


# ---- bits and conversions -------------------------------------------------------------------------------------------
def _shift(method):
    def typer(typingctx, a, count):
        def codegen(context, builder, sig, args):
            return getattr(builder, method)(args[0], _splat(builder, args[1], _i32))

        return U32(U32, types.uint32), codegen

    return typer


@intrinsic
def shift_left(typingctx, a, count):
    """Each lane shifted left."""
    return _shift("shl")(typingctx, a, count)


@intrinsic
def shift_right(typingctx, a, count):
    """Each lane shifted right, zeros move in."""
    return _shift("lshr")(typingctx, a, count)


@intrinsic
def shift_right_signed(typingctx, a, count):
    """Each lane shifted right, copies of the sign move in."""
    return _shift("ashr")(typingctx, a, count)


@intrinsic
def rotate_left(typingctx, a, count):
    """Each lane rotated left (one instruction with AVX-512, three without)."""

    def codegen(context, builder, sig, args):
        return _call(builder, "llvm.fshl.v8i32", args[0], args[0], _splat(builder, args[1], _i32))

    return U32(U32, types.uint32), codegen


@intrinsic
def as_u32(typingctx, a):
    """The bits of float32 lanes."""
    return U32(F32), lambda context, builder, sig, args: builder.bitcast(args[0], U32.vector)


@intrinsic
def as_f32(typingctx, a):
    """Float32 lanes from their bits."""
    return F32(U32), lambda context, builder, sig, args: builder.bitcast(args[0], F32.vector)


@intrinsic
def signed_to_f32(typingctx, a):
    """Lanes read as int32 and rounded to float32."""
    return F32(U32), lambda context, builder, sig, args: builder.sitofp(args[0], F32.vector)


@intrinsic
def f32_to_signed(typingctx, a):
    """Float32 lanes truncated to int32."""
    return U32(F32), lambda context, builder, sig, args: builder.fptosi(args[0], U32.vector)


# ---- crossing lanes -------------------------------------------------------------------------------------------------
def _shuffle(builder, a, b, order):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_i32, LANES), order))


@intrinsic
def transpose(typingctx, v0, v1, v2, v3, v4, v5, v6, v7):
    """Eight vectors as the rows of an 8x8 matrix, to its columns (24 shuffles)."""
    result = types.UniTuple(F32, LANES)

    def codegen(context, builder, sig, args):
        rows = list(args)
        low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
        pairs = [_shuffle(builder, rows[i], rows[i + 1], order) for i in (0, 2, 4, 6) for order in (low, high)]
        low, high = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
        quads = [
            _shuffle(builder, pairs[i + j], pairs[i + j + 2], order)
            for i in (0, 4)
            for j in (0, 1)
            for order in (low, high)
        ]
        low, high = [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]
        columns = [_shuffle(builder, quads[i], quads[i + 4], order) for order in (low, high) for i in range(4)]
        return context.make_tuple(builder, result, columns)

    return result(F32, F32, F32, F32, F32, F32, F32, F32), codegen
