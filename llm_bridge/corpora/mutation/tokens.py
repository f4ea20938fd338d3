"""Mutation of written lines: a second engine that knows tokens and brackets, but neither scopes nor syntax trees.

It proposes replacements of a stretch of one line, by rules of their own for each of QuixBugs' 14 defect classes: names
come from anywhere in the text, attributes and functions included; numbers change more than by one; arguments get lost;
lines are copied to wherever they fit. Whatever does not parse is dropped afterwards, so its errors are distributed
otherwise than those of `llm_bridge.corpora.mutation.trees`: a test set against the habits of that engine.
"""

from __future__ import annotations

import keyword
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llm_bridge.corpora.mutation.one_line import SILENT


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Replace characters ``start`` to ``stop`` of a text by `new`; family and orientation as in `mutation.trees`."""

    defect_class: str
    family: str
    orientation: int
    start: int
    stop: int
    new: str


def edits(text: str, rng: random.Random) -> list[Edit]:
    """Edits of a function's text, at most two for each class, family and orientation, drawn by `rng`."""
    pools: dict[tuple[str, str, int], list[Edit]] = {}
    written = _Written(text, rng)
    for rule in _RULES:
        for defect_class, family, orientation, start, stop, new in rule(written):
            if text[start:stop] == new or written.silent(start):
                continue
            edit = Edit(
                defect_class=defect_class, family=family, orientation=orientation, start=start, stop=stop, new=new
            )
            pools.setdefault((defect_class, family, orientation), []).append(edit)
    return [edit for pool in pools.values() for edit in rng.sample(pool, min(2, len(pool)))]


def mutate(text: str, edit: Edit) -> str:
    """The text with the edit made."""
    return text[: edit.start] + edit.new + text[edit.stop :]


_Found = Iterator[tuple[str, str, int, int, int, str]]
_STRING = re.compile(r"[rbfuRBFU]{0,2}(?:'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")")
_NAME = re.compile(r"[A-Za-z_]\w*")


class _Written:
    """A text with its strings blanked out (same length), so that patterns meet code alone."""

    def __init__(self, text: str, rng: random.Random) -> None:
        self.text, self.rng = text, rng
        self.code = _STRING.sub(lambda match: "'" + "_" * (len(match.group()) - 2) + "'", text)
        self.names = [match for match in _NAME.finditer(self.code) if not _reserved(match, self.code)]
        self.words = list(dict.fromkeys(match.group() for match in self.names))
        self.functions = list(dict.fromkeys(re.findall(r"(?<![\w.])([A-Za-z_]\w*)\(", self.code.split("\n", 1)[1])))
        self.functions = [name for name in self.functions if not keyword.iskeyword(name)]
        self.attributes = list(dict.fromkeys(re.findall(r"\.([A-Za-z_]\w*)\b(?!\()", self.code)))
        self.bodystart = self.code.index("\n") + 1
        self.silent_spans = [
            (match.start(), match.end())
            for match in re.finditer(r"^.*$", self.code, re.M)
            if SILENT.match(match.group())
        ]

    def silent(self, start: int) -> bool:
        """Whether a place lies in the signature or on a line whose change no test would see."""
        return start < self.bodystart or any(first <= start <= last for first, last in self.silent_spans)

    def find(self, pattern: str) -> Iterator[re.Match[str]]:
        return re.finditer(pattern, self.code, re.M)

    def other(self, word: str) -> str | None:
        words = [other for other in self.words if other not in (word, "self", "cls")]
        return self.rng.choice(words) if words else None


def _reserved(match: re.Match[str], code: str) -> bool:
    quoted = match.start() and code[match.start() - 1] == "'"
    return bool(quoted) or keyword.iskeyword(match.group()) or set(match.group()) == {"_"}


def _names(written: _Written) -> _Found:
    for match in written.names:
        other = written.other(match.group())
        if other is None or match.group() in ("self", "cls"):
            continue
        before, after = written.code[: match.start()], written.code[match.end() :]
        if before.endswith("."):
            kind = "incorrect method called" if after.startswith("(") else "incorrect field dereference"
        else:
            kind = "incorrect method called" if after.startswith("(") else "incorrect variable"
        yield kind, "name", _sign(len(other) - len(match.group())), match.start(), match.end(), other


def _comparisons(written: _Written) -> _Found:
    operators = ("<", "<=", ">", ">=", "==", "!=")
    for match in written.find(r" (<=|>=|==|!=|<|>) "):
        for other in operators:
            if other != match[1]:
                family = " ".join(sorted((other, match[1])))
                orientation = 1 if other > match[1] else -1
                yield "incorrect comparison operator", family, orientation, match.start(1), match.end(1), other
    for match in written.find(r" (is not|is|not in|in|and|or) "):
        opposite = {"is": "is not", "is not": "is", "in": "not in", "not in": "in", "and": "or", "or": "and"}
        if match[1] == "in" and re.search(r"\bfor\b[^\n]*$", written.code[: match.start()]):
            continue
        other = opposite[match[1]]
        family = " ".join(sorted((other, match[1])))
        yield (
            "incorrect comparison operator",
            family,
            1 if other > match[1] else -1,
            match.start(1),
            match.end(1),
            other,
        )


def _ones(written: _Written) -> _Found:
    what = "missing/added +1"
    for match in written.find(r" [+-] 1\b(?![.\w])"):
        yield what, "one", -1, match.start(), match.end(), ""
    for match in written.find(r"(?<=[\w\])])(?=[\]):,]| [<>=])(?! = )"):
        if match.start() > 0 and not written.code[: match.start()].endswith(("else", "try", "finally")):
            yield what, "one", 1, match.start(), match.end(), written.rng.choice([" + 1", " - 1"])
    for match in written.find(r"(?<![\w.'])\d+(?![\w.'])"):
        value = int(match.group())
        for other in sorted({value + 1, abs(value - 1), 2 * value} - {value}):
            new = str(other)
            if len(new) == len(match.group()):
                family = f"number {min(other, value)} {max(other, value)}"
                yield what, family, 1 if other > value else -1, match.start(), match.end(), new


def _swaps(written: _Written) -> _Found:
    name, operator = r"([A-Za-z_][\w.]*|\d+)", r"(, | - | // | % | / | < | <= | > | >= | if | << | >> )"
    item = rf"(?<![\w.]){name}{operator}{name}(?![\w.(\[])"
    for match in written.find(item):
        if match[1] != match[3] and not keyword.iskeyword(match[1]) and not keyword.iskeyword(match[3]):
            yield "variable swap", "swap", 0, match.start(), match.end(), match[3] + match[2] + match[1]


def _calls(written: _Written) -> _Found:
    what = "missing function call"
    for match in written.find(r"(?<![\w])([A-Za-z_][\w.]*)\(([^()\n]+)\)"):
        if not keyword.iskeyword(match[1]) and "=" not in match[2] and "," not in match[2]:
            yield what, "call", -1, match.start(), match.end(), written.text[match.start(2) : match.end(2)]
    for match in written.find(r"\.[A-Za-z_]\w*\(\)(?![\w])"):
        yield what, "call of method", -1, match.start(), match.end(), ""
    known = [*written.functions, "len", "str", "int", "list", "sorted"]
    methods = list(dict.fromkeys(re.findall(r"\.([A-Za-z_]\w*)\(", written.code))) or ["strip", "copy", "read"]
    for match in written.names:
        if match.group() in ("self", "cls") or written.code[match.end() : match.end() + 1] in ("(", ".", "="):
            continue
        if written.code[: match.start()].endswith("."):
            continue
        word = match.group()
        yield what, "call", 1, match.start(), match.end(), f"{written.rng.choice(known)}({word})"
        yield what, "call of method", 1, match.start(), match.end(), f"{word}.{written.rng.choice(methods)}()"


def _lines(written: _Written) -> _Found:
    what = "missing line"
    lines = list(re.finditer(r"^( +)(?!return\b|pass$|else:|try:|finally:|@)(.*[^:\n])\n", written.code, re.M))
    for match in lines:
        if re.match(r"(import|from|global|nonlocal|raise|assert|def|if|for|while|with|elif|except)\b", match[2]):
            continue
        yield what, "line", -1, match.start(), match.end(), ""
    jumps = [match for match in written.find(r"^( +)(return\b.*|continue|break)\n")]
    for match in jumps:
        yield what, "jump", -1, match.start(), match.end(), ""
    starts = list(re.finditer(r"^( +)\S.*\n", written.code, re.M))[1:]
    for source, family in [(match, "line") for match in lines] + [(match, "jump") for match in jumps]:
        statement = written.text[source.start(2) : source.end(2)]
        if re.match(r"(import|from|global|nonlocal|raise|assert|def|if|for|while|with|elif|except)\b", statement):
            continue
        if re.match(r"[\w.]+ = ", statement):
            continue  # to assign the same again is often no bug
        for place in written.rng.sample(starts, min(3, len(starts))):
            near = written.text[max(0, place.start() - 80) : place.end()]
            if statement not in near:
                yield what, family, 1, place.start(), place.start(), f"{place[1]}{statement}\n"


def _conditions(written: _Written) -> _Found:
    what = "missing condition"
    for match in written.find(r"\bnot (?!in\b)"):
        if not written.code[: match.start()].endswith("is "):
            yield what, "not", -1, match.start(), match.end(), ""
    for match in written.find(r"\b(if|while|and|or) (?!not\b)(?=[A-Za-z_])"):
        yield what, "not", 1, match.end(), match.end(), "not "
    for match in written.find(r" (and|or) [^:\n()]+?(?=:$| and | or |\))"):
        yield what, "further", -1, match.start(), match.end(), ""
    for match in written.find(r"(?<=[ (])[^:\n() ]+( [^:\n() ]+)? (and|or) "):
        yield what, "earlier", -1, match.start(), match.end(), ""
    for match in written.find(r"^ +(if|elif|while) ([^\n]+):$"):
        for name in written.rng.sample(written.words, min(2, len(written.words))):
            joint = written.rng.choice(["and", "or"])
            yield what, "further", 1, match.end(2), match.end(2), f" {joint} {name}"
            yield what, "earlier", 1, match.start(2), match.start(2), f"{name} {joint} "


def _slices(written: _Written) -> _Found:
    what = "incorrect array slice"
    for match in written.find(r"(?<=[\w\])])\[([^\[\]\n:]*):([^\[\]\n:]*)\]"):
        first, second = match[1], match[2]
        yield what, "slice", -1, match.start(), match.end(), ""
        if first and second:
            yield what, "bound", -1, match.start(1), match.end(1), ""
            yield what, "bound", -1, match.start(2), match.end(2), ""
        else:
            other = written.other("")
            if other and not first:
                yield what, "bound", 1, match.start(1), match.end(1), other
            elif other and not second:
                yield what, "bound", 1, match.start(2), match.end(2), other
            if first != second:
                yield what, "side", 0, match.start(), match.end(), f"[{second}:{first}]"
    for match in written.find(r"(?<=[\w\])])\[(\w+)\]"):
        yield what, "item", 1, match.start(), match.end(), written.rng.choice([f"[:{match[1]}]", f"[{match[1]}:]"])
    for match in written.find(r"(?<=[\w\])])\[(?::(\w+)|(\w+):)\]"):
        yield what, "item", -1, match.start(), match.end(), f"[{match[1] or match[2]}]"
    for match in written.names:
        if written.code[match.end() : match.end() + 1] in (")", ":", ",", "\n"):
            form = written.rng.choice(["[1:]", "[:-1]", f"[{written.other(match.group()) or 0}:]"])
            yield what, "slice", 1, match.end(), match.end(), form


def _prepends(written: _Written) -> _Found:
    what = "variable prepend"
    for match in written.find(r"(?<![\w.\])'])([A-Za-z_][\w.]*) \+ (?!1\b)"):
        if not keyword.iskeyword(match[1]):
            yield what, "prepend", -1, match.start(), match.end(), ""
    for match in written.find(r"(?<=[(=] )(?=[A-Za-z_'])|(?<=[(\[])(?=[A-Za-z_'])|(?<=return )(?=[A-Za-z_'])"):
        other = written.other("")
        if other:
            yield what, "prepend", 1, match.start(), match.end(), f"{other} + "
    for match in written.find(r"(?<![\w.)\]'])([A-Za-z_][\w.]*) \+ ([A-Za-z_][\w.]*)(?![\w.(\[])"):
        yield what, "order", 0, match.start(), match.end(), f"{match[2]} + {match[1]}"


def _structures(written: _Written) -> _Found:
    what = "incorrect data structure constant"
    for match in written.find(r", [^,()\[\]{}\n]+(?=[\])}])"):
        yield what, "last element", -1, match.start(), match.end(), ""
    for match in written.find(r"(?<=[\w'])(?=[\])}])"):
        item = written.rng.choice([*written.words, "0", "None"])
        yield what, "last element", 1, match.start(), match.end(), f", {item}"
    for match in written.find(r"\[\](?!\w)|\{\}"):
        new = "{}" if match.group() == "[]" else "[]"
        yield what, "brackets", 1 if new == "{}" else -1, match.start(), match.end(), new
    for match in written.find(r"\[\]"):
        yield what, "empty", 1, match.start(), match.end(), f"[{written.rng.choice([*written.words, '0'])}]"
    for match in written.find(r"(?<![\w\])'])\[([\w.]+)\]"):
        yield what, "empty", -1, match.start(), match.end(), "[]"
    for match in written.find(r"(?<![\w.])(True|False|None|0)(?![\w.])"):
        for other in ("True", "False", "None", "0"):
            if other == match.group() or {other, match.group()} == {"0", "False"}:
                continue  # `0` equals `False`
            family = " ".join(sorted((other, match.group())))
            orientation = 1 if other > match.group() else -1
            yield what, family, orientation, match.start(), match.end(), other


def _assignments(written: _Written) -> _Found:
    what = "incorrect assignment operator"
    for match in written.find(r" ([+\-*|&]|<<|//)?= "):
        if match[1]:
            yield what, "augmented", -1, match.start(1), match.end(1), ""
            for other in "+-*|&":
                if other != match[1]:
                    family = " ".join(sorted((other, match[1])))
                    yield what, family, 1 if other > match[1] else -1, match.start(1), match.end(1), other
        else:
            yield what, "augmented", 1, match.start() + 1, match.start() + 1, written.rng.choice("+-|*")


def _fields(written: _Written) -> _Found:
    what = "incorrect field dereference"
    for match in written.find(r"(?<=\w)\.[A-Za-z_]\w*(?![\w(])"):
        yield what, "field", -1, match.start(), match.end(), ""
    for match in written.names:
        if written.attributes and written.code[match.end() : match.end() + 1] in (")", ":", ",", "\n", " ", "]"):
            attribute = written.rng.choice(written.attributes)
            yield what, "field", 1, match.end(), match.end(), f".{attribute}"


def _arithmetic(written: _Written) -> _Found:
    what = "missing arithmetic expression"
    operators = ("+", "-", "*", "//", "%", "/", "&", "|", "<<", ">>")
    for match in written.find(r" (\+|-|\*|//|%|/|&|\||<<|>>) ([\w.]+)(?![\w.(\['])"):
        if match[2] != "1":
            yield what, "operation", -1, match.start(), match.end(), ""
        for other in operators:
            if other != match[1] and match.start() and written.code[match.start() - 1] != "'":
                family = " ".join(sorted((other, match[1])))
                yield what, family, 1 if other > match[1] else -1, match.start(1), match.end(1), other
    for match in written.find(r"(?<=[\w)\]])(?=[\]):,]|\n)"):
        before = written.code[: match.start()]
        last = _NAME.search(before[before.rfind("\n") + 1 :][-12:] or "")
        if written.words and last and not re.search(r"\b(else|try|finally|continue|break|pass|return)$", before):
            operator, operand = written.rng.choice(operators), written.rng.choice([*written.words, "2"])
            yield what, "operation", 1, match.start(), match.end(), f" {operator} {operand}"


_RULES = (
    _names,
    _comparisons,
    _ones,
    _swaps,
    _calls,
    _lines,
    _conditions,
    _slices,
    _prepends,
    _structures,
    _assignments,
    _fields,
    _arithmetic,
)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
