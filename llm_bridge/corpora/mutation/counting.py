"""Counting operators of the tree engine: off by one, the wrong slice, missing arithmetic."""

from __future__ import annotations

import ast
import copy

from llm_bridge.corpora.mutation.scope import (
    SELF,
    Found,
    Scope,
    is_count,
    is_number,
    is_sequence,
    is_value,
    names_in,
    same,
)


def plus_one(scope: Scope) -> Found:
    """Off by one: ``x`` and ``x + 1``, ``x`` and ``x - 1``, ``x + 1`` and ``x - 1``, ``range(3)`` and ``range(4)``."""
    what = "missing/added +1"
    for site in scope.of(ast.BinOp):
        node = site.node
        if isinstance(node.op, ast.Add | ast.Sub) and is_number(node.right, 1):
            yield what, f"one {type(node.op).__name__}", -1, site.swap(node.left)
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            flipped = ast.BinOp(left=node.left, op=other, right=node.right)
            yield what, "one sign", 1 if isinstance(other, ast.Sub) else -1, site.swap(flipped)
    for site in scope.sites:
        node = site.node
        if not is_count(site):
            continue
        if isinstance(node, ast.Name | ast.Attribute | ast.Call):
            for op in (ast.Add(), ast.Sub()):
                one = ast.BinOp(left=node, op=op, right=ast.Constant(value=1))
                yield what, f"one {type(op).__name__}", 1, site.swap(one)
        elif is_number(node) and isinstance(node.value, int) and 0 <= node.value < 9:
            value = node.value
            for near in (value - 1, value + 1):
                if near >= 0:
                    family = f"count {min(value, near)}"
                    yield what, family, 1 if near > value else -1, site.swap(ast.Constant(value=near))


def array_slice(scope: Scope) -> Found:
    """Wrong slices: ``x[1:]`` and ``x``, ``x[:n]`` and ``x[n:]``, ``x[a:b]`` and ``x[a:]``, ``x[0]`` and ``x[-1]``."""
    what = "incorrect array slice"
    bounds = [site.node for site in scope.of(ast.Slice) if site.node.step is None]
    for site in scope.of(ast.Subscript):
        node = site.node
        if not isinstance(node.ctx, ast.Load):
            continue
        inner = node.slice
        if isinstance(inner, ast.Slice) and inner.step is None and (inner.lower or inner.upper):
            yield what, "slice", -1, site.swap(node.value)
            if inner.lower is None or inner.upper is None:
                side = ast.Slice(lower=inner.upper, upper=inner.lower)
                yield what, "side", 1 if inner.lower is None else -1, [(node, "slice", None, side)]
                own = inner.lower or inner.upper
                for name in scope.names_before(node.lineno, *([own.id] if isinstance(own, ast.Name) else []))[:3]:
                    extra = ast.Name(id=name, ctx=ast.Load())
                    both = ast.Slice(lower=inner.lower or extra, upper=inner.upper or extra)
                    yield what, "bound", 1, [(node, "slice", None, both)]
            else:
                yield what, "bound", -1, [(node, "slice", None, ast.Slice(lower=inner.lower))]
                yield what, "bound", -1, [(node, "slice", None, ast.Slice(upper=inner.upper))]
        elif is_number(inner) and inner.value in (0, 1):
            other = ast.Constant(value=1 - inner.value)
            yield what, "index 0 1", 1 if inner.value == 0 else -1, [(node, "slice", None, other)]
            if inner.value == 0:
                last = ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))
                yield what, "index 0 -1", 1, [(node, "slice", None, last)]
        elif isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.USub) and is_number(inner.operand, 1):
            yield what, "index 0 -1", -1, [(node, "slice", None, ast.Constant(value=0))]
    for site in scope.sites:
        node = site.node
        if isinstance(node, ast.Name) and node.id in scope.bound and node.id not in SELF and is_value(site):
            usual = [ast.Slice(lower=ast.Constant(value=1)), ast.Slice(upper=_minus_one())]
            form = copy.deepcopy(scope.rng.choice(bounds or usual))
            yield what, "slice", 1, site.swap(ast.Subscript(value=node, slice=form, ctx=ast.Load()))


_ARITHMETIC = (("Add", "Sub"), ("Mult", "FloorDiv"), ("Mult", "Add"), ("BitOr", "BitAnd"), ("LShift", "RShift"))


def arithmetic(scope: Scope) -> Found:
    """Wrong arithmetic: ``x * y`` and ``x``, ``x % n`` and ``x``; also ``+`` and ``-``, ``<<`` and ``>>``."""
    what = "missing arithmetic expression"
    operands: list[tuple[ast.operator, ast.expr]] = []
    for site in scope.of(ast.BinOp):
        node = site.node
        if is_sequence(node.left) or is_sequence(node.right) or is_number(node.right, 1):
            continue
        operands.append((node.op, node.right))
        yield what, f"arithmetic {type(node.op).__name__}", -1, site.swap(node.left)
        for first, second in _ARITHMETIC:
            name = type(node.op).__name__
            if name in (first, second):
                other = second if name == first else first
                new = getattr(ast, other)()
                yield what, f"operator {first} {second}", 1 if name == first else -1, [(node, "op", None, new)]
    operands += [(ast.Add(), ast.Constant(value=2)), (ast.Mult(), ast.Constant(value=2))] if operands else []
    for site in scope.sites:
        node = site.node
        if not isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript) or not is_value(site):
            continue
        numeric = is_count(site) or isinstance(site.parent, ast.BinOp)
        if not numeric and scope.rng.random() < 0.7:
            continue
        line = getattr(node, "lineno", 0)
        pool = [
            (op, right)
            for op, right in operands
            if not same(right, node) and all(scope.bound.get(name, 0) < line for name in names_in(right))
        ]
        names = scope.names_before(line, *names_in(node))
        if names:
            op = scope.rng.choice([ast.Add(), ast.Sub(), ast.Mult(), ast.Mod(), ast.FloorDiv()])
            pool.append((op, ast.Name(id=scope.rng.choice(names), ctx=ast.Load())))
        if pool:
            op, right = scope.rng.choice(pool)
            joined = ast.BinOp(left=node, op=op, right=copy.deepcopy(right))  # a copy: `node` may stand inside `right`
            yield what, f"arithmetic {type(op).__name__}", 1, site.swap(joined)


def _minus_one() -> ast.expr:
    return ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))
