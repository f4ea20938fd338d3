"""Mutation of syntax trees: candidates for one-line bugs in QuixBugs' 14 defect classes.

`candidates` lists what could go wrong in one function. A candidate is a replacement of one or two nodes, not yet a
text; `mutate` makes the text. Every candidate names its `family` and, within it, its `orientation`: where one way
turns ``x`` into ``x + 1``, the other turns ``x + 1`` into ``x``. A corpus that draws both ways of a family equally
often leaves a learner no hint in what is written, only in where it is written: a bug is then as likely to add ``+ 1``,
``not`` or a call as to lack one, and the buggy text is as often the longer as the shorter one.

Left out, since no test would see them or the text does not change its meaning: what stands in exceptions raised,
assertions, log and print calls; operands that are equal; arguments of symmetric functions; assignments never read.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from llm_bridge.corpora.stdlib_functions import Function

# One replacement: (node, field, index in the field's list or None, what stands there afterwards; None removes it).
Replacement = tuple[ast.AST, str, int | None, object]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A possible bug. `orientation` is +1 or -1 for the two ways of a family, 0 where a bug is its own reverse."""

    defect_class: str
    family: str
    orientation: int
    replacements: tuple[Replacement, ...]


def candidates(function: Function, tree: ast.FunctionDef, rng: random.Random) -> list[Candidate]:
    """Candidates for bugs in a function, at most one for each family and orientation, drawn by `rng`.

    Parameters
    ----------
    function
        Gives the names of the function's class.
    tree
        Parsed `function.text`; the candidates refer to its nodes.
    rng
        Chooses the place and the other name.
    """
    scope = _Scope(function, tree, rng)
    pools: dict[tuple[str, str, int], list[Candidate]] = {}
    for operator in _OPERATORS:
        for defect_class, family, orientation, replacements in operator(scope):
            candidate = Candidate(
                defect_class=defect_class, family=family, orientation=orientation, replacements=tuple(replacements)
            )
            pools.setdefault((defect_class, family, orientation), []).append(candidate)
    return [rng.choice(pool) for pool in pools.values()]


def mutate(tree: ast.FunctionDef, candidate: Candidate) -> str:
    """Text of the function with the candidate's bug; `tree` is left as it was."""
    undo: list[Replacement] = []
    try:
        for node, field, index, new in candidate.replacements:
            if index is None:
                undo.append((node, field, None, getattr(node, field)))
                setattr(node, field, new)
            else:
                items = getattr(node, field)
                undo.append((node, field, None, items))
                changed = list(items)
                if new is None:
                    del changed[index]
                elif isinstance(new, _Insert):
                    changed.insert(index, new.node)
                else:
                    changed[index] = new
                setattr(node, field, changed)
        return ast.unparse(tree) + "\n"
    finally:
        for node, field, _, old in reversed(undo):
            setattr(node, field, old)


@dataclass(frozen=True)
class _Insert:
    """Marks a replacement that puts a node before the index."""

    node: ast.AST


@dataclass(frozen=True, eq=False)
class _Site:
    """A node, and where it hangs; `loops` counts the loops around it."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None

    def swap(self, new: object) -> list[Replacement]:
        return [(self.parent, self.field, self.index, new)]


_LOGGING = frozenset("print log debug info warn warning error exception critical write_log msg _log trace".split())
_SYMMETRIC = frozenset("max min isclose hypot gcd lcm samefile union intersection symmetric_difference".split())
_SELF = ("self", "cls")


class _Scope:
    """What the operators look up about a function: its sites, names, conditions and constants."""

    def __init__(self, function: Function, tree: ast.FunctionDef, rng: random.Random) -> None:
        self.function, self.tree, self.rng = function, tree, rng
        self.sites: list[_Site] = []
        self.lines: dict[int, int] = {}  # id of a node -> line, also for operators and contexts
        for index, statement in enumerate(tree.body):
            self._collect(statement, tree, "body", index)
        arguments = tree.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parameters += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
        self.bound: dict[str, int] = {argument.arg: 0 for argument in parameters}
        self.reads: dict[str, int] = {}
        self.profiles: dict[str, set[tuple[str, str]]] = {}
        comprehended = {
            id(name)
            for site in self.sites
            if isinstance(site.node, ast.comprehension)
            for name in ast.walk(site.node.target)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    self.reads[node.id] = self.reads.get(node.id, 0) + 1
                elif id(node) not in comprehended:
                    self.bound.setdefault(node.id, node.lineno)
        for site in self.sites:
            if isinstance(site.node, ast.Name):
                self.profiles.setdefault(site.node.id, set()).add((type(site.parent).__name__, site.field))
        self.conditions = [
            site.node
            for site in self.sites
            if isinstance(site.node, ast.Compare)
            or (_is_test(site) and isinstance(site.node, ast.Name | ast.Attribute | ast.Call))
        ]

    def _collect(self, node: ast.AST, parent: ast.AST, field: str, index: int | None) -> None:
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.Call) and _called_name(node) in _LOGGING:
            return
        self.sites.append(_Site(node, parent, field, index))
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                for position, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        self._collect(item, node, name, position)
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context | ast.arguments):
                self._collect(value, node, name, None)

    def names_before(self, line: int, *without: str) -> list[str]:
        """Local names bound before a line."""
        return [name for name, bound in self.bound.items() if bound < line and name not in (*_SELF, *without)]

    def other_name(self, name: str, line: int) -> str | None:
        """Another local name, more often than not one that is used in the same ways."""
        names = self.names_before(line, name)
        if not names:
            return None
        own = self.profiles.get(name, set())
        alike = [other for other in names if own & self.profiles.get(other, set())]
        return self.rng.choice(alike if alike and self.rng.random() < 0.7 else names)

    def of(self, *kinds: type) -> Iterator[_Site]:
        """Sites whose node is of one of the kinds."""
        return (site for site in self.sites if isinstance(site.node, kinds))


_Found = Iterator[tuple[str, str, int, Sequence[Replacement]]]


def _plus_one(scope: _Scope) -> _Found:
    """``x`` and ``x + 1``, ``x`` and ``x - 1``, ``x + 1`` and ``x - 1``, ``range(3)`` and ``range(4)``."""
    what = "missing/added +1"
    for site in scope.of(ast.BinOp):
        node = site.node
        if isinstance(node.op, ast.Add | ast.Sub) and _is_number(node.right, 1):
            yield what, f"one {type(node.op).__name__}", -1, site.swap(node.left)
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            flipped = ast.BinOp(left=node.left, op=other, right=node.right)
            yield what, "one sign", 1 if isinstance(other, ast.Sub) else -1, site.swap(flipped)
    for site in scope.sites:
        node = site.node
        if not _is_count(site):
            continue
        if isinstance(node, ast.Name | ast.Attribute | ast.Call):
            for op in (ast.Add(), ast.Sub()):
                one = ast.BinOp(left=node, op=op, right=ast.Constant(value=1))
                yield what, f"one {type(op).__name__}", 1, site.swap(one)
        elif _is_number(node) and isinstance(node.value, int) and 0 <= node.value < 9:
            value = node.value
            for other in (value - 1, value + 1):
                if other >= 0:
                    family = f"count {min(value, other)}"
                    yield what, family, 1 if other > value else -1, site.swap(ast.Constant(value=other))


def _variable_swap(scope: _Scope) -> _Found:
    """Two arguments, two targets, or the operands of an operator that does not commute."""
    what = "variable swap"
    for site in scope.of(ast.Call):
        node = site.node
        if _called_name(node) in (*_SYMMETRIC, "isinstance", "issubclass", "getattr", "setattr", "hasattr", "print"):
            continue
        for i in range(len(node.args) - 1):
            a, b = node.args[i], node.args[i + 1]
            if _plain(a) and _plain(b) and not _same(a, b) and not (_constant(a) and _constant(b)):
                yield what, "arguments", 0, [(node, "args", i, b), (node, "args", i + 1, a)]
    for site in scope.of(ast.Tuple):
        node = site.node
        if len(node.elts) == 2 and _plain(node.elts[0]) and _plain(node.elts[1]) and not _same(*node.elts):
            if isinstance(
                site.parent, ast.Assign | ast.For | ast.Return | ast.comprehension | ast.Subscript | ast.Call
            ):
                yield what, "elements", 0, [(node, "elts", 0, node.elts[1]), (node, "elts", 1, node.elts[0])]
    for site in scope.of(ast.BinOp):
        node = site.node
        if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.LShift | ast.RShift):
            if _plain(node.left) and _plain(node.right) and not _same(node.left, node.right) and not _text(node.left):
                yield what, "operands", 0, [(node, "left", None, node.right), (node, "right", None, node.left)]
    for site in scope.of(ast.Compare):
        node = site.node
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Lt | ast.Gt | ast.LtE | ast.GtE | ast.In):
            a, b = node.left, node.comparators[0]
            if isinstance(a, ast.Name | ast.Attribute) and isinstance(b, ast.Name | ast.Attribute) and not _same(a, b):
                yield what, "compared", 0, [(node, "left", None, b), (node, "comparators", 0, a)]
    for site in scope.of(ast.IfExp):
        node = site.node
        if not _same(node.body, node.orelse):
            yield what, "branches", 0, [(node, "body", None, node.orelse), (node, "orelse", None, node.body)]


def _incorrect_variable(scope: _Scope) -> _Found:
    """One local name for another; one written to as well as one read."""
    for site in scope.of(ast.Name):
        node = site.node
        if node.id not in scope.bound or node.id in _SELF:
            continue
        if isinstance(node.ctx, ast.Load) and site.field != "func":
            other = scope.other_name(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Store) and isinstance(site.parent, ast.Assign | ast.AugAssign):
            other = scope.other_name(node.id, node.lineno)
        else:
            continue
        if other is not None:
            new = ast.Name(id=other, ctx=node.ctx)
            yield "incorrect variable", "variable", _sign(len(other) - len(node.id)), site.swap(new)


_COMPARISONS = (
    ("Lt", "LtE"),
    ("Gt", "GtE"),
    ("Lt", "Gt"),
    ("LtE", "GtE"),
    ("Eq", "NotEq"),
    ("In", "NotIn"),
    ("Is", "IsNot"),
    ("Eq", "GtE"),
    ("Eq", "LtE"),
    ("NotEq", "Gt"),
    ("NotEq", "Lt"),
)


def _comparison(scope: _Scope) -> _Found:
    """``<`` and ``<=``, ``==`` and ``!=``, ``in`` and ``not in``, …; also ``and`` and ``or``."""
    what = "incorrect comparison operator"
    for site in scope.of(ast.Compare):
        node = site.node
        for i, op in enumerate(node.ops):
            numeric = not any(_constant(side) and not _is_number(side) for side in (node.left, *node.comparators))
            for first, second in _COMPARISONS:
                name = type(op).__name__
                if name not in (first, second):
                    continue
                if {first, second} & {"Lt", "Gt", "LtE", "GtE"} and not numeric:
                    continue
                other = second if name == first else first
                new = getattr(ast, other)()
                yield what, f"{first} {second}", 1 if name == first else -1, [(node, "ops", i, new)]
    for site in scope.of(ast.BoolOp):
        isand = isinstance(site.node.op, ast.And)
        yield what, "and or", 1 if isand else -1, [(site.node, "op", None, ast.Or() if isand else ast.And())]


_WRAPPERS = frozenset(
    "int str list sorted set tuple len abs bool float bytes iter dict reversed repr enumerate min max sum any all next "
    "type id ord chr hash frozenset bytearray".split()
)
_PLAIN_METHODS = frozenset(
    "strip lower upper rstrip lstrip copy encode decode split splitlines keys values items pop read close readline "
    "group hex isdigit title".split()
)


def _function_call(scope: _Scope) -> _Found:
    """``f(x)`` and ``x``, ``x.m()`` and ``x``, ``max(x, y)`` and ``x``."""
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
            elif len(node.args) == 1 and _is_self(node.func.value) and not isinstance(node.args[0], ast.Starred):
                yield what, "call self.method", -1, site.swap(node.args[0])
    places = [
        site
        for site in scope.of(ast.Name, ast.Attribute, ast.Subscript)
        if _is_value(site)
        and not (isinstance(site.node, ast.Name) and (site.node.id not in scope.bound or site.node.id in _SELF))
    ]
    single = [name for name, (least, most) in scope.function.methods.items() if least <= 1 <= most]
    called = [_called_name(site.node) for site in scope.of(ast.Call) if isinstance(site.node.func, ast.Name)]
    other = [name for name in called if name not in _WRAPPERS]
    for site in scope.rng.sample(places, min(4, len(places))):
        node = site.node
        for name in scope.rng.sample(sorted(_WRAPPERS), 3):
            yield what, f"call {name}", 1, site.swap(_call(ast.Name(id=name, ctx=ast.Load()), node))
        for name in scope.rng.sample(sorted(_PLAIN_METHODS), 3):
            yield what, f"call .{name}", 1, site.swap(_call(ast.Attribute(value=node, attr=name, ctx=ast.Load())))
        if other:
            yield what, "call any function", 1, site.swap(_call(ast.Name(id=other[0], ctx=ast.Load()), node))
        if single and "self" in scope.bound:
            own = ast.Name(id="self", ctx=ast.Load())
            method = ast.Attribute(value=own, attr=scope.rng.choice(single), ctx=ast.Load())
            yield what, "call self.method", 1, site.swap(_call(method, node))
        if isinstance(node, ast.Name):
            second = scope.other_name(node.id, node.lineno)
            if second is not None:
                bound = scope.rng.choice(["max", "min"])
                both = _call(ast.Name(id=bound, ctx=ast.Load()), node, ast.Name(id=second, ctx=ast.Load()))
                yield what, f"call {bound} of two", 1, site.swap(both)


def _missing_line(scope: _Scope) -> _Found:
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
            yield what, "line jump", 1, [(owner, field, len(statements), _Insert(ast.Break()))]
            for name in _returned(scope):
                if scope.bound.get(name, 999) < statements[-1].lineno:
                    leave = ast.Return(value=ast.Name(id=name, ctx=ast.Load()))
                    yield what, "line jump", 1, [(owner, field, len(statements), _Insert(leave))]
        more = owner is not scope.tree and (getattr(owner, "end_lineno", 0) or 0) < (
            scope.tree.body[-1].end_lineno or 0
        )
        ended = isinstance(statements[-1], ast.Return | ast.Break | ast.Continue | ast.Raise)
        if isinstance(owner, ast.If) and more and not ended:
            leave = ast.Return(value=None)
            yield what, "line jump", 1, [(owner, field, len(statements), _Insert(leave))]
        if inloop:
            for statement in scope.tree.body:
                if (
                    statement.lineno < owner.lineno
                    and isinstance(statement, ast.Assign)
                    and isinstance(statement.targets[0], ast.Name)
                    and isinstance(statement.value, ast.Constant | ast.List | ast.Dict | ast.Tuple | ast.Name)
                ):
                    yield what, "line assign", 1, [(owner, field, 0, _Insert(statement))]
        for source in scope.of(ast.AugAssign, ast.Expr):
            kind = _line_kind(source.node, scope)
            names = {node.id for node in ast.walk(source.node) if isinstance(node, ast.Name)}
            if kind is None or not names & set(scope.bound):
                continue
            place = scope.rng.randrange(len(statements) + 1)
            line = statements[place].lineno if place < len(statements) else statements[-1].lineno + 1
            near = statements[max(0, place - 1) : place + 1]
            if any(_same(source.node, statement) for statement in near) or isinstance(
                statements[place - 1] if place else None, ast.Return | ast.Raise | ast.Continue | ast.Break
            ):
                continue
            if all(scope.bound[name] < line for name in names if name in scope.bound):
                yield what, f"line {kind}", 1, [(owner, field, place, _Insert(source.node))]


def _condition(scope: _Scope) -> _Found:
    """``a and b`` and ``a``, ``a or b`` and ``a``, ``not a`` and ``a``."""
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
        if not _is_test(site):
            continue
        if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.BoolOp):
            yield what, "condition Not", 1, site.swap(ast.UnaryOp(op=ast.Not(), operand=node))
        for other in _other_conditions(scope, node):
            for op in (ast.And(), ast.Or()):
                values = [node, other] if scope.rng.random() < 0.5 else [other, node]
                if isinstance(node, ast.BoolOp) and type(node.op) is type(op):
                    values = [*node.values, other]
                yield what, f"condition {type(op).__name__}", 1, site.swap(ast.BoolOp(op=op, values=values))


def _slice(scope: _Scope) -> _Found:
    """``x[1:]`` and ``x``, ``x[:n]`` and ``x[n:]``, ``x[a:b]`` and ``x[a:]``, ``x[0]`` and ``x[-1]``."""
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
        elif _is_number(inner) and inner.value in (0, 1):
            other = ast.Constant(value=1 - inner.value)
            yield what, "index 0 1", 1 if inner.value == 0 else -1, [(node, "slice", None, other)]
            if inner.value == 0:
                last = ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))
                yield what, "index 0 -1", 1, [(node, "slice", None, last)]
        elif isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.USub) and _is_number(inner.operand, 1):
            yield what, "index 0 -1", -1, [(node, "slice", None, ast.Constant(value=0))]
    for site in scope.sites:
        node = site.node
        if isinstance(node, ast.Name) and node.id in scope.bound and node.id not in _SELF and _is_value(site):
            usual = [ast.Slice(lower=ast.Constant(value=1)), ast.Slice(upper=_minus_one())]
            form = copy.deepcopy(scope.rng.choice(bounds or usual))
            yield what, "slice", 1, site.swap(ast.Subscript(value=node, slice=form, ctx=ast.Load()))


def _prepend(scope: _Scope) -> _Found:
    """``a + b`` and ``b``, ``a + b`` and ``b + a`` where the order matters."""
    what = "variable prepend"
    for site in scope.of(ast.BinOp):
        node = site.node
        if not isinstance(node.op, ast.Add) or _is_number(node.right) or _is_number(node.left):
            continue
        yield what, "prepend", -1, site.swap(node.right)
        if _sequence(node.left) or _sequence(node.right):
            yield what, "order", 0, [(node, "left", None, node.right), (node, "right", None, node.left)]
    for site in scope.sites:
        node = site.node
        if not (
            _is_value(site) and isinstance(node, ast.Name | ast.Attribute | ast.Constant | ast.Call | ast.Subscript)
        ):
            continue
        if isinstance(node, ast.Constant) and not _text(node):
            continue
        names = scope.names_before(node.lineno, *([node.id] if isinstance(node, ast.Name) else []))
        if names and not (isinstance(node, ast.Name) and node.id in _SELF):
            left = ast.Name(id=scope.rng.choice(names), ctx=ast.Load())
            yield what, "prepend", 1, site.swap(ast.BinOp(left=left, op=ast.Add(), right=node))


def _structure(scope: _Scope) -> _Found:
    """An element too few or too many, ``[]`` and ``{}``, the constant that something starts from."""
    what = "incorrect data structure constant"
    for site in scope.of(ast.List, ast.Tuple, ast.Set, ast.Dict):
        node = site.node
        if isinstance(getattr(node, "ctx", None), ast.Store):
            continue
        if isinstance(node, ast.Dict):
            if len(node.values) > 1 and None not in node.keys:
                i = scope.rng.randrange(len(node.values))
                fewer = ast.Dict(keys=node.keys[:i] + node.keys[i + 1 :], values=node.values[:i] + node.values[i + 1 :])
                yield what, "entry", -1, site.swap(fewer)
            elif not node.values:
                yield what, "list dict", -1, site.swap(ast.List(elts=[], ctx=ast.Load()))
            continue
        kind = type(node)
        least = {ast.List: 1, ast.Tuple: 2, ast.Set: 2}[kind]
        if len(node.elts) >= least and not (kind is ast.Tuple and _fixed_size(site)):
            for i in range(len(node.elts)):
                left = node.elts[:i] + node.elts[i + 1 :]
                yield what, f"element {kind.__name__}", -1, [(node, "elts", None, left)]
        if not (kind is ast.Tuple and _fixed_size(site)):
            pool: list[ast.expr] = [ast.Name(id=name, ctx=ast.Load()) for name in scope.names_before(node.lineno)]
            pool += [element for element in node.elts if _is_number(element)][:2] or [ast.Constant(value=0)]
            more = scope.rng.choice(pool)
            place = scope.rng.randrange(len(node.elts) + 1)
            if not any(_same(more, element) for element in node.elts) or kind is not ast.Set:
                elements = [*node.elts[:place], more, *node.elts[place:]]
                yield what, f"element {kind.__name__}", 1, [(node, "elts", None, elements)]
        if kind is ast.List and not node.elts:
            yield what, "list dict", 1, site.swap(ast.Dict(keys=[], values=[]))
    for site in scope.of(ast.Constant):
        node = site.node
        if not isinstance(
            site.parent, ast.Assign | ast.Return | ast.keyword | ast.Dict | ast.IfExp | ast.Tuple | ast.List
        ):
            continue
        for first, second in ((0, 1), (False, True), (False, None), ("", " "), (0, None), (b"", None), ("", None)):
            for value, other, orientation in ((first, second, 1), (second, first, -1)):
                if type(node.value) is type(value) and node.value == value:
                    new = ast.Constant(value=other)
                    yield what, f"constant {first!r} {second!r}", orientation, site.swap(new)


_AUGMENTED = (("Add", "Sub"), ("BitOr", "BitAnd"), ("Mult", "FloorDiv"), ("LShift", "RShift"), ("Add", "Mult"))


def _assignment(scope: _Scope) -> _Found:
    """``x = y`` and ``x += y``, ``+=`` and ``-=``, ``|=`` and ``&=``, …."""
    what = "incorrect assignment operator"
    used = [site.node.op for site in scope.of(ast.AugAssign)] or [ast.Add()]
    for site in scope.of(ast.AugAssign):
        node = site.node
        plain = ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno)
        yield what, f"augmented {type(node.op).__name__}", -1, site.swap(plain)
        for first, second in _AUGMENTED:
            name = type(node.op).__name__
            if name in (first, second):
                other = second if name == first else first
                new = getattr(ast, other)()
                yield what, f"augmented {first} {second}", 1 if name == first else -1, [(node, "op", None, new)]
    for site in scope.of(ast.Assign):
        node = site.node
        target = node.targets[0]
        if len(node.targets) > 1 or (isinstance(node.value, ast.Constant) and not _is_number(node.value)):
            continue
        name = ast.unparse(target)
        known = isinstance(target, ast.Name) and scope.bound.get(name, node.lineno) < node.lineno
        if known or isinstance(target, ast.Attribute | ast.Subscript):
            for op in (scope.rng.choice(used), ast.Add()):
                new = ast.AugAssign(target=target, op=op, value=node.value)
                yield what, f"augmented {type(op).__name__}", 1, site.swap(new)


_METHODS = tuple(
    pair.split()
    for pair in (
        "append extend|find rfind|index rindex|find index|add discard|add remove|get pop|keys values|"
        "keys items|values items|startswith endswith|lower upper|strip lstrip|strip rstrip|lstrip rstrip|"
        "read readline|pop popleft|append appendleft|split rsplit|partition rpartition|split partition|"
        "update setdefault|remove discard|remove append|sort reverse|isdigit isalpha|isspace isalnum|"
        "union intersection|difference intersection|acquire release|join split|read write|close flush|"
        "group groups|start end|match search|get setdefault|encode decode|insert append|min max|any all|"
        "add update|clear copy|pop remove|extend update|getattr hasattr|isinstance issubclass|int float|"
        "str repr|list tuple|list set|sorted reversed|range enumerate|append add|index find|count index|"
        "replace strip|ljust rjust|send recv|is_set set|wait notify|seek tell|readline readlines|"
        "write writelines|bytes str"
    ).split("|")
)


def _method(scope: _Scope) -> _Found:
    """One method for another of the same kind, or for another of the same class that takes as many arguments."""
    what = "incorrect method called"
    for site in scope.of(ast.Call):
        node = site.node
        func = node.func
        name = _called_name(node)
        for first, second in _METHODS:
            if name in (first, second):
                other = second if name == first else first
                field = "id" if isinstance(func, ast.Name) else "attr"
                yield what, f"{first} {second}", 1 if name == first else -1, [(func, field, None, other)]
        if isinstance(func, ast.Attribute) and _is_self(func.value) and not node.keywords:
            given = len(node.args)
            fitting = [
                other
                for other, (least, most) in scope.function.methods.items()
                if least <= given <= most and other != name and other != scope.tree.name
            ]
            for other in scope.rng.sample(fitting, min(2, len(fitting))):
                yield what, "own method", _sign(len(other) - len(func.attr)), [(func, "attr", None, other)]


def _field(scope: _Scope) -> _Found:
    """``x.a`` and ``x.b``, ``x.a`` and ``x``."""
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
            yield what, "field", _sign(len(other) - len(node.attr)), [(node, "attr", None, other)]
        if not isinstance(node.value, ast.Name) or (node.value.id in scope.bound and node.value.id not in _SELF):
            yield what, "dereference", -1, site.swap(node.value)
    for site in scope.of(ast.Name, ast.Attribute):
        node = site.node
        if _is_value(site) and not _is_self(node) and (not isinstance(node, ast.Name) or node.id in scope.bound):
            own = list(fields.get(ast.unparse(node), {})) or everything
            if own:
                deeper = ast.Attribute(value=node, attr=scope.rng.choice(own), ctx=ast.Load())
                yield what, "dereference", 1, site.swap(deeper)


_ARITHMETIC = (("Add", "Sub"), ("Mult", "FloorDiv"), ("Mult", "Add"), ("BitOr", "BitAnd"), ("LShift", "RShift"))


def _arithmetic(scope: _Scope) -> _Found:
    """``x * y`` and ``x``, ``x % n`` and ``x``; also ``+`` and ``-``, ``<<`` and ``>>``."""
    what = "missing arithmetic expression"
    operands: list[tuple[ast.operator, ast.expr]] = []
    for site in scope.of(ast.BinOp):
        node = site.node
        if _sequence(node.left) or _sequence(node.right) or _is_number(node.right, 1):
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
        if not isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript) or not _is_value(site):
            continue
        numeric = _is_count(site) or isinstance(site.parent, ast.BinOp)
        if not numeric and scope.rng.random() < 0.7:
            continue
        line = getattr(node, "lineno", 0)
        pool = [
            (op, right)
            for op, right in operands
            if not _same(right, node) and all(scope.bound.get(name, 0) < line for name in _names(right))
        ]
        names = scope.names_before(line, *_names(node))
        if names:
            op = scope.rng.choice([ast.Add(), ast.Sub(), ast.Mult(), ast.Mod(), ast.FloorDiv()])
            pool.append((op, ast.Name(id=scope.rng.choice(names), ctx=ast.Load())))
        if pool:
            op, right = scope.rng.choice(pool)
            joined = ast.BinOp(left=node, op=op, right=copy.deepcopy(right))  # a copy: `node` may stand inside `right`
            yield what, f"arithmetic {type(op).__name__}", 1, site.swap(joined)


_OPERATORS: tuple[Callable[[_Scope], _Found], ...] = (
    _plus_one,
    _variable_swap,
    _incorrect_variable,
    _comparison,
    _function_call,
    _missing_line,
    _condition,
    _slice,
    _prepend,
    _structure,
    _assignment,
    _method,
    _field,
    _arithmetic,
)


def _call(function: ast.expr, *arguments: ast.expr) -> ast.Call:
    return ast.Call(func=function, args=list(arguments), keywords=[])


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _same(a: ast.AST, b: ast.AST) -> bool:
    return type(a) is type(b) and ast.dump(a) == ast.dump(b)


def _names(node: ast.AST) -> list[str]:
    return [child.id for child in ast.walk(node) if isinstance(child, ast.Name)]


def _called_name(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _is_number(node: object, value: int | None = None) -> bool:
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return False
    return value is None or node.value == value


def _constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


def _text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _sequence(node: ast.AST) -> bool:
    """Surely a string or a list: adding does not commute."""
    if isinstance(node, ast.BinOp):
        return _sequence(node.left) or _sequence(node.right)
    return _text(node) or isinstance(node, ast.List | ast.Tuple | ast.JoinedStr | ast.ListComp)


def _plain(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute | ast.Constant | ast.Subscript | ast.BinOp)


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in _SELF


def _minus_one() -> ast.expr:
    return ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))


def _is_test(site: _Site) -> bool:
    if site.field == "test":
        return isinstance(site.parent, ast.If | ast.While | ast.IfExp) and not isinstance(site.node, ast.Constant)
    return site.field == "ifs"


def _is_value(site: _Site) -> bool:
    """A value that is read and handed on: an argument, what is assigned, returned, iterated, compared or calculated."""
    if isinstance(getattr(site.node, "ctx", None), ast.Store | ast.Del):
        return False
    parent, field = site.parent, site.field
    return (
        (isinstance(parent, ast.Call) and field == "args")
        or (isinstance(parent, ast.Assign | ast.AugAssign | ast.Return | ast.Yield) and field == "value")
        or (isinstance(parent, ast.For | ast.comprehension) and field == "iter")
        or isinstance(parent, ast.Compare | ast.BinOp)
        or (isinstance(parent, ast.Subscript) and field == "slice" and not isinstance(site.node, ast.Slice | ast.Tuple))
    )


def _is_count(site: _Site) -> bool:
    """A place where a whole number stands: an index, a bound, an argument of `range`, beside a number or a length."""
    parent, field = site.parent, site.field
    if isinstance(getattr(site.node, "ctx", None), ast.Store | ast.Del):
        return False
    if isinstance(parent, ast.Slice) or (isinstance(parent, ast.Call) and _called_name(parent) in ("range", "islice")):
        return field != "func"
    if isinstance(parent, ast.Subscript) and field == "slice":
        return (isinstance(site.node, ast.Name) and len(site.node.id) <= 2) or _is_number(site.node)
    if isinstance(parent, ast.Compare):
        if not all(isinstance(op, ast.Lt | ast.Gt | ast.LtE | ast.GtE | ast.Eq | ast.NotEq) for op in parent.ops):
            return False
        others = [side for side in (parent.left, *parent.comparators) if side is not site.node]
        return _is_number(site.node) or any(
            _is_number(side) or (isinstance(side, ast.Call) and _called_name(side) == "len") for side in others
        )
    if isinstance(parent, ast.AugAssign):
        return _is_number(site.node)
    return isinstance(site.node, ast.Call) and _called_name(site.node) == "len"


def _fixed_size(site: _Site) -> bool:
    """A tuple whose length its surroundings fix: unpacked, a key, or the right side of ``%``."""
    parent = site.parent
    return isinstance(parent, ast.BinOp | ast.Subscript) or (
        isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Tuple)
    )


def _bodies(tree: ast.AST) -> Iterator[tuple[ast.AST, str, list[ast.stmt]]]:
    """Yield every block of statements: its owner, the field it hangs in, the statements."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list) and statements and isinstance(statements[0], ast.stmt):
                if field == "orelse" and len(statements) == 1 and isinstance(statements[0], ast.If):
                    continue  # an elif is part of its if
                yield node, field, statements


def _line_kind(statement: ast.AST, scope: _Scope) -> str | None:
    """Kind of a statement whose absence would be a bug, None where it might not be seen."""
    if isinstance(statement, ast.AugAssign):
        return "augmented"
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        if isinstance(target, ast.Name):  # absence shows only where something else has given the name a value
            return "assign" if scope.bound[target.id] < statement.lineno and scope.reads.get(target.id) else None
        return "assign" if isinstance(target, ast.Attribute | ast.Subscript) else None
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        name = _called_name(statement.value)
        return None if name in _LOGGING or name in ("close", "flush", "__init__") else "call"
    if isinstance(statement, ast.Continue | ast.Break):
        return "jump"
    if isinstance(statement, ast.Return):
        return "jump" if statement is not scope.tree.body[-1] or statement.value is not None else None
    return None


def _returned(scope: _Scope) -> list[str]:
    return [
        site.node.value.id for site in scope.of(ast.Return) if isinstance(site.node.value, ast.Name) and site.node.value
    ]


def _other_conditions(scope: _Scope, node: ast.AST) -> list[ast.expr]:
    """Up to two conditions from elsewhere in the function that do not occur in `node` and whose names are bound."""
    text = ast.unparse(node)
    line = getattr(node, "lineno", 0)
    fitting = [
        other
        for other in scope.conditions
        if not any(other is inner for inner in ast.walk(node))
        and all(scope.bound.get(name, 0) < line for name in _names(other))
        and ast.unparse(other) not in text
    ]
    return [copy.deepcopy(other) for other in scope.rng.sample(fitting, min(2, len(fitting)))]
