"""Omission operators of the tree engine: a call, a line or a condition too few, or one too many."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any

from llm_bridge.corpora.mutation.scope import (
    LOGGING,
    SELF,
    Found,
    Insert,
    Scope,
    called_name,
    is_self,
    is_test,
    is_value,
    make_call,
    names_in,
    same,
)

# Without those whose addition would seldom change a result: iter, hash, copy, float, bytes, ….
_WRAPPERS = frozenset(
    "int str list sorted set tuple len abs bool dict reversed repr enumerate min max sum any all next type id ord "
    "chr".split()
)
_PLAIN_METHODS = frozenset(
    "strip lower upper rstrip lstrip encode decode split splitlines keys values items pop read close readline group "
    "hex isdigit title".split()
)


def function_call(scope: Scope) -> Found:
    """Missing calls: ``f(x)`` and ``x``, ``x.m()`` and ``x``, ``max(x, y)`` and ``x``."""
    what = "missing function call"
    for site in scope.of(ast.Call):
        node = site.node
        if (site.field == "value" and isinstance(site.parent, ast.Expr)) or node.keywords:
            continue
        if isinstance(node.func, ast.Name):
            name = node.func.id
            if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred | ast.GeneratorExp):
                family = name if name in _WRAPPERS else "any function"
                yield what, f"call {family}", -1, site.swap(node.args[0])
            elif name in ("max", "min") and len(node.args) == 2:
                yield what, f"call {name} of two", -1, site.swap(scope.rng.choice(node.args))
        elif isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if not node.args and name in _PLAIN_METHODS:
                yield what, f"call .{name}", -1, site.swap(node.func.value)
            elif len(node.args) == 1 and is_self(node.func.value) and not isinstance(node.args[0], ast.Starred):
                yield what, "call self.method", -1, site.swap(node.args[0])
    places = [
        site
        for site in scope.of(ast.Name, ast.Attribute, ast.Subscript)
        if is_value(site)
        and not (isinstance(site.node, ast.Name) and (site.node.id not in scope.bound or site.node.id in SELF))
    ]
    single = [name for name, (least, most) in scope.function.methods.items() if least <= 1 <= most]
    called = [called_name(site.node) for site in scope.of(ast.Call) if isinstance(site.node.func, ast.Name)]
    other = [name for name in called if name not in _WRAPPERS]
    for site in scope.rng.sample(places, min(4, len(places))):
        node = site.node
        for name in scope.rng.sample(sorted(_WRAPPERS), 3):
            if site.field == "iter" and name in ("list", "tuple"):
                continue  # the same elements in the same order
            yield what, f"call {name}", 1, site.swap(make_call(ast.Name(id=name, ctx=ast.Load()), node))
        for name in scope.rng.sample(sorted(_PLAIN_METHODS), 3):
            yield what, f"call .{name}", 1, site.swap(make_call(ast.Attribute(value=node, attr=name, ctx=ast.Load())))
        if other:
            yield what, "call any function", 1, site.swap(make_call(ast.Name(id=other[0], ctx=ast.Load()), node))
        if single and "self" in scope.bound:
            own = ast.Name(id="self", ctx=ast.Load())
            method = ast.Attribute(value=own, attr=scope.rng.choice(single), ctx=ast.Load())
            yield what, "call self.method", 1, site.swap(make_call(method, node))
        if isinstance(node, ast.Name):
            second = scope.other_name(node.id, node.lineno)
            if second is not None:
                bound = scope.rng.choice(["max", "min"])
                both = make_call(ast.Name(id=bound, ctx=ast.Load()), node, ast.Name(id=second, ctx=ast.Load()))
                yield what, f"call {bound} of two", 1, site.swap(both)


def missing_line(scope: Scope) -> Found:
    """A statement left out; the reverse is one too many: begun anew in a loop, done again, or left too early."""
    what = "missing line"
    for body in _bodies(scope.tree):
        owner, field, statements = body
        inloop = isinstance(owner, ast.For | ast.While) and field == "body"
        for i, statement in enumerate(statements):
            kind = _line_kind(statement, scope)
            last = i == len(statements) - 1
            if kind is None or len(statements) == 1 or (kind == "jump" and last and inloop):
                continue
            yield what, f"line {kind}", -1, [(owner, field, i, None)]
        if inloop and not isinstance(statements[-1], ast.Return | ast.Break | ast.Continue | ast.Raise):
            yield what, "line jump", 1, [(owner, field, len(statements), Insert(ast.Break()))]
            for name in _returned(scope):
                if scope.bound.get(name, 999) < statements[-1].lineno:
                    leave = ast.Return(value=ast.Name(id=name, ctx=ast.Load()))
                    yield what, "line jump", 1, [(owner, field, len(statements), Insert(leave))]
        more = owner is not scope.tree and (getattr(owner, "end_lineno", 0) or 0) < (
            scope.tree.body[-1].end_lineno or 0
        )
        ended = isinstance(statements[-1], ast.Return | ast.Break | ast.Continue | ast.Raise)
        if isinstance(owner, ast.If) and more and not ended:
            leave = ast.Return(value=None)
            yield what, "line jump", 1, [(owner, field, len(statements), Insert(leave))]
        if inloop:
            for statement in scope.tree.body:
                if (
                    statement.lineno < owner.lineno
                    and isinstance(statement, ast.Assign)
                    and isinstance(statement.targets[0], ast.Name)
                    and isinstance(statement.value, ast.Constant | ast.List | ast.Dict | ast.Tuple | ast.Name)
                ):
                    yield what, "line assign", 1, [(owner, field, 0, Insert(statement))]
        for source in scope.of(ast.AugAssign, ast.Expr):
            kind = _line_kind(source.node, scope)
            names = {node.id for node in ast.walk(source.node) if isinstance(node, ast.Name)}
            if kind is None or not names & set(scope.bound):
                continue
            place = scope.rng.randrange(len(statements) + 1)
            line = statements[place].lineno if place < len(statements) else statements[-1].lineno + 1
            near = statements[max(0, place - 1) : place + 1]
            if any(same(source.node, statement) for statement in near) or isinstance(
                statements[place - 1] if place else None, ast.Return | ast.Raise | ast.Continue | ast.Break
            ):
                continue
            if all(scope.bound[name] < line for name in names if name in scope.bound):
                yield what, f"line {kind}", 1, [(owner, field, place, Insert(source.node))]


def missing_condition(scope: Scope) -> Found:
    """Missing conditions: ``a and b`` and ``a``, ``a or b`` and ``a``, ``not a`` and ``a``."""
    what = "missing condition"
    for site in scope.of(ast.BoolOp):
        node = site.node
        for i in range(len(node.values)):
            rest = [value for j, value in enumerate(node.values) if j != i]
            new = rest[0] if len(rest) == 1 else ast.BoolOp(op=node.op, values=rest)
            yield what, f"condition {type(node.op).__name__}", -1, site.swap(new)
    for site in scope.of(ast.UnaryOp):
        if isinstance(site.node.op, ast.Not):
            yield what, "condition Not", -1, site.swap(site.node.operand)
    for site in scope.sites:
        node = site.node
        if not is_test(site):
            continue
        if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.BoolOp):
            yield what, "condition Not", 1, site.swap(ast.UnaryOp(op=ast.Not(), operand=node))
        for other in _other_conditions(scope, node):
            for op in (ast.And(), ast.Or()):
                values = [node, other] if scope.rng.random() < 0.5 else [other, node]
                if isinstance(node, ast.BoolOp) and type(node.op) is type(op):
                    values = [*node.values, other]
                yield what, f"condition {type(op).__name__}", 1, site.swap(ast.BoolOp(op=op, values=values))


def _bodies(tree: ast.AST) -> Iterator[tuple[Any, str, list[ast.stmt]]]:
    """Yield every block of statements: its owner, the field it hangs in, the statements."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list) and statements and isinstance(statements[0], ast.stmt):
                if field == "orelse" and len(statements) == 1 and isinstance(statements[0], ast.If):
                    continue  # an elif is part of its if
                yield node, field, statements


def _line_kind(statement: ast.AST, scope: Scope) -> str | None:
    """Kind of a statement whose absence would be a bug, None where it might not be seen."""
    if isinstance(statement, ast.AugAssign):
        return "augmented"
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        if isinstance(target, ast.Name):  # absence shows only where something else has given the name a value
            return "assign" if scope.bound[target.id] < statement.lineno and scope.reads.get(target.id) else None
        return "assign" if isinstance(target, ast.Attribute | ast.Subscript) else None
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        name = called_name(statement.value)
        return None if name in LOGGING or name in ("close", "flush", "__init__") else "call"
    if isinstance(statement, ast.Continue | ast.Break):
        return "jump"
    if isinstance(statement, ast.Return):
        return "jump" if statement is not scope.tree.body[-1] or statement.value is not None else None
    return None


def _returned(scope: Scope) -> list[str]:
    return [
        site.node.value.id for site in scope.of(ast.Return) if isinstance(site.node.value, ast.Name) and site.node.value
    ]


def _other_conditions(scope: Scope, node: ast.AST) -> list[ast.expr]:
    """Up to two conditions from elsewhere in the function that do not occur in `node` and whose names are bound."""
    text = ast.unparse(node)
    line = getattr(node, "lineno", 0)
    fitting = [
        other
        for other in scope.conditions
        if not any(other is inner for inner in ast.walk(node))
        and all(scope.bound.get(name, 0) < line for name in names_in(other))
        and ast.unparse(other) not in text
    ]
    return [copy.deepcopy(other) for other in scope.rng.sample(fitting, min(2, len(fitting)))]
