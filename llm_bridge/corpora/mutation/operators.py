"""Replacement operators of the tree engine: wrong operators, methods and constants."""

from __future__ import annotations

import ast

from llm_bridge.corpora.mutation.scope import (
    Found,
    Scope,
    Site,
    called_name,
    is_constant,
    is_number,
    is_self,
    same,
    sign,
)

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


def comparison_operator(scope: Scope) -> Found:
    """Wrong comparisons: ``<`` and ``<=``, ``==`` and ``!=``, ``in`` and ``not in``, …; also ``and`` and ``or``."""
    what = "incorrect comparison operator"
    for site in scope.of(ast.Compare):
        node = site.node
        for i, op in enumerate(node.ops):
            numeric = not any(is_constant(side) and not is_number(side) for side in (node.left, *node.comparators))
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


_AUGMENTED = (("Add", "Sub"), ("BitOr", "BitAnd"), ("Mult", "FloorDiv"), ("LShift", "RShift"), ("Add", "Mult"))


def assignment_operator(scope: Scope) -> Found:
    """Wrong assignments: ``x = y`` and ``x += y``, ``+=`` and ``-=``, ``|=`` and ``&=``, …."""
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
        if len(node.targets) > 1 or (isinstance(node.value, ast.Constant) and not is_number(node.value)):
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


def method_called(scope: Scope) -> Found:
    """One method for another of the same kind, or for another of the same class that takes as many arguments."""
    what = "incorrect method called"
    for site in scope.of(ast.Call):
        node = site.node
        func = node.func
        name = called_name(node)
        for first, second in _METHODS:
            if name in (first, second):
                other = second if name == first else first
                field = "id" if isinstance(func, ast.Name) else "attr"
                yield what, f"{first} {second}", 1 if name == first else -1, [(func, field, None, other)]
        if isinstance(func, ast.Attribute) and is_self(func.value) and not node.keywords:
            given = len(node.args)
            fitting = [
                other
                for other, (least, most) in scope.function.methods.items()
                if least <= given <= most and other != name and other != scope.tree.name
            ]
            for other in scope.rng.sample(fitting, min(2, len(fitting))):
                yield what, "own method", sign(len(other) - len(func.attr)), [(func, "attr", None, other)]


def structure_constant(scope: Scope) -> Found:
    """An element too few or too many, ``[]`` and ``{}``, the constant that starts a loop or a sum."""
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
            pool += [element for element in node.elts if is_number(element)][:2] or [ast.Constant(value=0)]
            more = scope.rng.choice(pool)
            place = scope.rng.randrange(len(node.elts) + 1)
            if not any(same(more, element) for element in node.elts) or kind is not ast.Set:
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


def _fixed_size(site: Site) -> bool:
    """Tuple of a fixed length: unpacked, a key, or the right side of ``%`` (formatting)."""
    parent = site.parent
    return isinstance(parent, ast.BinOp | ast.Subscript) or (
        isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Tuple)
    )
