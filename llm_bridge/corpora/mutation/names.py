"""Name operators of the tree engine: the wrong name, or the wrong order."""

from __future__ import annotations

import ast

from llm_bridge.corpora.mutation.scope import (
    SELF,
    SYMMETRIC,
    Found,
    Scope,
    called_name,
    is_constant,
    is_number,
    is_plain,
    is_self,
    is_sequence,
    is_text,
    is_value,
    same,
    sign,
)


def variable_swap(scope: Scope) -> Found:
    """Swaps: of two arguments, two targets, or the operands of an operator that does not commute."""
    what = "variable swap"
    for site in scope.of(ast.Call):
        node = site.node
        if called_name(node) in (*SYMMETRIC, "isinstance", "issubclass", "getattr", "setattr", "hasattr", "print"):
            continue
        for i in range(len(node.args) - 1):
            a, b = node.args[i], node.args[i + 1]
            if is_plain(a) and is_plain(b) and not same(a, b) and not (is_constant(a) and is_constant(b)):
                yield what, "arguments", 0, [(node, "args", i, b), (node, "args", i + 1, a)]
    for site in scope.of(ast.Tuple):
        node = site.node
        if len(node.elts) == 2 and is_plain(node.elts[0]) and is_plain(node.elts[1]) and not same(*node.elts):
            if isinstance(
                site.parent, ast.Assign | ast.For | ast.Return | ast.comprehension | ast.Subscript | ast.Call
            ):
                yield what, "elements", 0, [(node, "elts", 0, node.elts[1]), (node, "elts", 1, node.elts[0])]
    for site in scope.of(ast.BinOp):
        node = site.node
        if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.LShift | ast.RShift):
            if (
                is_plain(node.left)
                and is_plain(node.right)
                and not same(node.left, node.right)
                and not is_text(node.left)
            ):
                yield what, "operands", 0, [(node, "left", None, node.right), (node, "right", None, node.left)]
    for site in scope.of(ast.Compare):
        node = site.node
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Lt | ast.Gt | ast.LtE | ast.GtE | ast.In):
            a, b = node.left, node.comparators[0]
            if isinstance(a, ast.Name | ast.Attribute) and isinstance(b, ast.Name | ast.Attribute) and not same(a, b):
                yield what, "compared", 0, [(node, "left", None, b), (node, "comparators", 0, a)]
    for site in scope.of(ast.IfExp):
        node = site.node
        if not same(node.body, node.orelse):
            yield what, "branches", 0, [(node, "body", None, node.orelse), (node, "orelse", None, node.body)]


def incorrect_variable(scope: Scope) -> Found:
    """One local name for another; one written to as well as one read."""
    for site in scope.of(ast.Name):
        node = site.node
        if node.id not in scope.bound or node.id in SELF:
            continue
        if isinstance(node.ctx, ast.Load) and site.field != "func":
            other = scope.other_name(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Store) and isinstance(site.parent, ast.Assign | ast.AugAssign):
            other = scope.other_name(node.id, node.lineno)
        else:
            continue
        if other is not None:
            new = ast.Name(id=other, ctx=node.ctx)
            yield "incorrect variable", "variable", sign(len(other) - len(node.id)), site.swap(new)


def variable_prepend(scope: Scope) -> Found:
    """Operands too many or swapped: ``a + b`` and ``b``, ``a + b`` and ``b + a`` where the order matters."""
    what = "variable prepend"
    for site in scope.of(ast.BinOp):
        node = site.node
        if not isinstance(node.op, ast.Add) or is_number(node.right) or is_number(node.left):
            continue
        yield what, "prepend", -1, site.swap(node.right)
        if is_sequence(node.left) or is_sequence(node.right):
            yield what, "order", 0, [(node, "left", None, node.right), (node, "right", None, node.left)]
    for site in scope.sites:
        node = site.node
        if not (
            is_value(site) and isinstance(node, ast.Name | ast.Attribute | ast.Constant | ast.Call | ast.Subscript)
        ):
            continue
        if isinstance(node, ast.Constant) and not is_text(node):
            continue
        names = scope.names_before(node.lineno, *([node.id] if isinstance(node, ast.Name) else []))
        if names and not (isinstance(node, ast.Name) and node.id in SELF):
            left = ast.Name(id=scope.rng.choice(names), ctx=ast.Load())
            yield what, "prepend", 1, site.swap(ast.BinOp(left=left, op=ast.Add(), right=node))


def field_dereference(scope: Scope) -> Found:
    """Wrong or missing fields: ``x.a`` and ``x.b``, ``x.a`` and ``x``."""
    what = "incorrect field dereference"
    fields: dict[str, dict[str, None]] = {}
    reads = [site for site in scope.of(ast.Attribute) if isinstance(site.node.ctx, ast.Load) and site.field != "func"]
    for site in reads:
        fields.setdefault(ast.unparse(site.node.value), {})[site.node.attr] = None
    for name in scope.function.attributes:
        fields.setdefault("self", {})[name] = None
    everything = list(dict.fromkeys(name for names in fields.values() for name in names))
    for site in reads:
        node = site.node
        base = ast.unparse(node.value)
        others = [name for name in fields.get(base, {}) if name != node.attr]
        others = others or [name for name in everything if name != node.attr]
        if others and not (isinstance(node.value, ast.Name) and node.value.id not in scope.bound):
            other = scope.rng.choice(others)
            yield what, "field", sign(len(other) - len(node.attr)), [(node, "attr", None, other)]
        if not isinstance(node.value, ast.Name) or (node.value.id in scope.bound and node.value.id not in SELF):
            yield what, "dereference", -1, site.swap(node.value)
    for site in scope.of(ast.Name, ast.Attribute):
        node = site.node
        if is_value(site) and not is_self(node) and (not isinstance(node, ast.Name) or node.id in scope.bound):
            own = list(fields.get(ast.unparse(node), {})) or everything
            if own:
                deeper = ast.Attribute(value=node, attr=scope.rng.choice(own), ctx=ast.Load())
                yield what, "dereference", 1, site.swap(deeper)
