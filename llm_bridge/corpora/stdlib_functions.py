"""Functions of the installed Python standard library, in normal form, of which mutants are made.

Only modules that Python 3.11, 3.12 and 3.13 all have as source text, without the ones that distributions ship apart
(tkinter, sqlite3, …). A split is a set of whole modules; modules that share code or a subject (posixpath and ntpath,
the mail and the network clients) stand in one split. The text of the functions depends on the Python version, so the
corpus does too: `llm_bridge.corpora.programs.corpus_hash` tells two of them apart.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")

MODULES: Mapping[str, tuple[str, ...]] = {
    "test": tuple(
        "_markupbase argparse calendar colorsys configparser csv difflib fractions getopt gettext heapq html "
        "mailbox numbers optparse pickle pickletools plistlib pprint reprlib shlex statistics tarfile textwrap "
        "trace uuid wave wsgiref".split()
    ),
    "validation": tuple(
        "base64 bdb cmd code codeop filecmp fileinput fnmatch glob graphlib ipaddress mimetypes netrc pdb quopri "
        "sched shelve string stringprep tabnanny tokenize tomllib zipfile zipimport zoneinfo".split()
    ),
    "train": tuple(
        "_collections_abc _pydecimal _pyio _sitebuiltins _strptime _threading_local _weakrefset abc ast asyncio "
        "bz2 codecs collections concurrent contextlib copy copyreg dataclasses dis doctest email enum ftplib "
        "functools genericpath getpass gzip hmac http imaplib importlib inspect json linecache locale logging "
        "lzma modulefinder multiprocessing ntpath operator os pathlib pkgutil platform poplib posixpath profile "
        "pstats pyclbr pydoc queue random re runpy secrets selectors shutil site smtplib socket socketserver ssl "
        "subprocess symtable sysconfig tempfile threading timeit traceback tracemalloc types typing unittest "
        "urllib warnings weakref webbrowser xml xmlrpc".split()
    ),
}

MAX_CHARS = 600
MIN_LINES, MAX_LINES = 5, 18


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function of the standard library in normal form, without decorators, annotations and docstrings.

    `methods` maps the other methods of its class to how many arguments they take (least, most; without self);
    `attributes` are the class's data attributes. Both are empty outside classes. `docstring` is the
    function's own, which is not in `text`.
    """

    module: str
    name: str
    text: str
    methods: Mapping[str, tuple[int, int]]
    attributes: tuple[str, ...]
    docstring: str = ""


def functions(module: str) -> list[Function]:
    """Functions and methods of one module (or package) with 5 to 18 lines and at most 600 characters of ASCII.

    Parameters
    ----------
    module
        A top-level name out of `MODULES`.

    Returns
    -------
    list of Function
        In the order of the files' names and of the text. A name that occurs again gets a number.

    Raises
    ------
    FileNotFoundError
        Where this Python has no source text of the module.

    Examples
    --------
    >>> [function.name for function in functions("heapq")][:2]
    ['heapq.heappop', 'heapq.heapreplace']
    """
    found: list[Function] = []
    used: dict[str, int] = {}
    for path, dotted in _source_files(module):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library's own old escapes
            tree = ast.parse(path.read_bytes())
        found += functions_of_tree(tree, dotted, module=module, used=used)
    return found


def functions_of_tree(tree: ast.AST, dotted: str, *, module: str, used: dict[str, int] | None = None) -> list[Function]:
    """Functions and methods of one parsed file that are within the corpus's limits.

    Parameters
    ----------
    tree
        The file's syntax tree.
    dotted
        Name of the file's module, which the functions' names begin with.
    module
        The unit that never straddles a split.
    used
        How often each name was used before; it is updated. A name that occurs again gets a number.
    """
    used = {} if used is None else used
    found = []
    for node, qualified, owner in _walk(tree, dotted, ({}, ())):
        docstring = ast.get_docstring(node) or ""
        text = _normal_text(node)
        if text is None:
            continue
        used[qualified] = used.get(qualified, 0) + 1
        name = qualified if used[qualified] == 1 else f"{qualified}#{used[qualified]}"
        methods, attributes = owner
        found.append(
            Function(module=module, name=name, text=text, methods=methods, attributes=attributes, docstring=docstring)
        )
    return found


def source_files(split: str) -> list[Path]:
    """Files that a split's functions come from, in a fixed order."""
    return [path for module in MODULES[split] for path, _ in _source_files(module)]


def fits(text: str) -> bool:
    """Whether a text is within the corpus's limits of lines and characters."""
    return len(text) <= MAX_CHARS and MIN_LINES <= text.count("\n") <= MAX_LINES and text.isascii()


def _source_files(module: str) -> list[tuple[Path, str]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    single = root / f"{module}.py"
    if single.is_file():
        return [(single, module)]
    files = sorted(path for path in (root / module).rglob("*.py") if not {"test", "tests"} & set(path.parts))
    if not files:
        raise FileNotFoundError(
            f"mutants are made from the standard library's source text, and {root} has none of module {module!r}"
        )
    return [(path, ".".join(path.relative_to(root).with_suffix("").parts)) for path in files]


_ClassNames = tuple[dict[str, tuple[int, int]], tuple[str, ...]]


def _walk(tree: ast.AST, prefix: str, owner: _ClassNames) -> Iterator[tuple[ast.FunctionDef, str, _ClassNames]]:
    """Yield (function, qualified name, names of its class); a function inside a function is seen with the outer one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node, f"{prefix}.{node.name}", owner
        elif isinstance(node, ast.ClassDef):
            yield from _walk(node, f"{prefix}.{node.name}", _class_names(node))
        elif isinstance(node, ast.If | ast.Try):
            yield from _walk(node, prefix, owner)


def _normal_text(node: ast.FunctionDef) -> str | None:
    """Text of a bare function, None where it is outside the limits."""
    if not MIN_LINES - 1 <= (node.end_lineno or 0) - node.lineno + 1 <= 60:
        return None  # cheaply, before the text is made
    text = ast.unparse(_Bare().visit(node)) + "\n"
    return text if fits(text) else None


class _Bare(ast.NodeTransformer):
    """Remove decorators, annotations and statements that are nothing but a string."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list, node.returns = [], None
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.Pass()
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        constant = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if constant else self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node


def _class_names(owner: ast.ClassDef) -> _ClassNames:
    methods: dict[str, tuple[int, int]] = {}
    attributes: dict[str, None] = {}
    for node in owner.body:
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            decorated = any(isinstance(name, ast.Name) and name.id == "property" for name in node.decorator_list)
            if decorated:
                attributes[node.name] = None
            elif not (node.name.startswith("__") or node.decorator_list or arguments.vararg or arguments.kwonlyargs):
                most = len(arguments.posonlyargs) + len(arguments.args) - 1
                methods[node.name] = (most - len(arguments.defaults), most)
            for inner in ast.walk(node):
                if (
                    isinstance(inner, ast.Attribute)
                    and isinstance(inner.ctx, ast.Store)
                    and isinstance(inner.value, ast.Name)
                    and inner.value.id == "self"
                ):
                    attributes[inner.attr] = None
    return methods, tuple(name for name in attributes if name not in methods)
