"""Recipes as files: TOML read by the schema of `llm_bridge.study.recipe`, every mistake named at once.

Below this border nobody sees a dict. An unknown key is named with the nearest known one; a scalar where a list is
expected is a list of one.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from llm_bridge.axes import QUANTITIES
from llm_bridge.corpora import own_corpus
from llm_bridge.study.recipe import RECIPE_VERSION, RadioConfig, Recipe, RecipeError

TYPE_WORDS = {"int": "int", "float": "float", "string": "str", "bool": "bool"}
"""What a key's type is called, by the first word of pydantic's kind of error."""


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path
        A TOML file; a bare name means one of the published recipes.
    overrides
        ``"section.key=value"``, values in TOML's notation; a bare word is a string.

    Raises
    ------
    RecipeError
        No such file, not TOML, unknown keys, values of the wrong kind: all of them, a line each.

    Examples
    --------
    >>> load_recipe("toy", ["radio.sf=[7, 12]"]).radio.sf
    (7, 12)
    """
    file = Path(path)
    if not file.is_file() and file.name == str(path):  # a folder of that name is likely the results' own
        file = recipes_dir() / f"{file.name.removesuffix('.toml')}.toml"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in recipes_dir().glob("*.toml")))
        raise RecipeError(f"no recipe at {path} (published ones: {known})")
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{file} is not TOML: {error}") from error
    _find_files_beside(file, tree)
    for override in overrides:
        _override(tree, override)
    return recipe_of(tree)


def recipe_of(tree: Mapping[str, Any]) -> Recipe:
    """A recipe from what `as_plain` made of it, or from TOML's tables.

    Examples
    --------
    >>> from llm_bridge.study.recipe import as_plain
    >>> recipe_of(as_plain(load_recipe("demo"))) == load_recipe("demo")
    True
    """
    version = tree.get("version", RECIPE_VERSION)  # first: another version has other keys
    if version != RECIPE_VERSION:
        raise RecipeError(f"this program reads recipes of version {RECIPE_VERSION} (got version {version})")
    try:
        return _schema().validate_python(_with_levels(tree))
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in _lines(problem)]
        raise RecipeError("\n".join(dict.fromkeys(lines))) from error


def recipes_dir() -> Path:
    """Folder of the published recipes."""
    return Path(__file__).resolve().parents[1] / "recipes"


def json_schema() -> dict[str, Any]:
    """JSON schema of a recipe, for editors that complete and check TOML by one.

    Examples
    --------
    >>> json_schema()["$defs"]["RadioConfig"]["properties"]["cr"]["anyOf"][0]["type"]
    'integer'
    """
    schema = _schema().json_schema()
    radio = schema["$defs"]["RadioConfig"]["properties"]
    del radio["levels"]
    for name in QUANTITIES:
        default = list(RadioConfig().levels.get(name, ()))
        radio[name] = {"type": "array", "items": {"type": "number"}, "default": default}
        radio[name]["description"] = f"Levels of the quantity {name!r} (`llm_bridge.axes.QUANTITIES`)."
    for section in schema["$defs"].values():
        for name, entry in section.get("properties", {}).items():
            if entry.get("type") == "array":  # a scalar is a list of one
                shared = {key: entry.pop(key) for key in ("default", "description", "title") if key in entry}
                section["properties"][name] = {**shared, "anyOf": [entry["items"], entry]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def keys_table() -> str:
    """Every key of a recipe with its default and meaning, as a table in Markdown for each section."""
    schema = json_schema()
    parts = [_table("Top level", {k: v for k, v in schema["properties"].items() if "$ref" not in v})]
    for name, entry in schema["properties"].items():
        if "$ref" in entry:
            parts.append(_table(f"`[{name}]`", schema["$defs"][entry["$ref"].rpartition("/")[2]]["properties"]))
    return "\n\n".join(parts) + "\n"


# --- helpers ----------------------------------------------------------------------------------------------------------


@cache
def _schema() -> TypeAdapter[Recipe]:
    return TypeAdapter(Recipe)


def _table(title: str, properties: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"## {title}", "", "| key | default | meaning |", "|---|---|---|"]
    for name, entry in properties.items():
        default = entry.get("default")
        shown = "" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"
        meaning = " ".join(str(entry.get("description", "")).split()).replace("|", "\\|")
        words = next((o["enum"] for o in _alternatives(entry) if "enum" in o), ())
        allowed = f" One of {', '.join(words)}." if words else ""
        lines.append(f"| `{name}` | {shown} | {meaning}{allowed} |")
    return "\n".join(lines)


def _alternatives(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A key's schema, and those of its items and its alternatives."""
    yield entry
    for other in (entry.get("items", {}), *entry.get("anyOf", ())):
        if other:
            yield from _alternatives(other)


def _with_levels(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with the levels of all quantities, which are keys of the section ``radio``, put together."""
    radio = tree.get("radio", {})
    if not isinstance(radio, dict):
        return dict(tree)
    if "levels" in radio:
        raise RecipeError(f"unknown key 'radio.levels' in the recipe; known: {', '.join(QUANTITIES)}")
    levels = {name: radio.get(name, RadioConfig().levels.get(name, ())) for name in QUANTITIES}
    rest = {name: value for name, value in radio.items() if name not in QUANTITIES}
    return {**tree, "radio": {**rest, "levels": levels}}


def _lines(problem: ErrorDetails) -> Iterator[str]:
    """A mistake in our words: the key, what is allowed, and what was found."""
    parts = [str(part) for part in problem["loc"] if not isinstance(part, int) and part != "levels"]
    parts = [part for part in parts if "[" not in part]  # names of pydantic's own validators
    key, kind, found = ".".join(parts), problem["type"], problem["input"]
    if kind == "unexpected_keyword_argument":
        known = [name for name in _keys(parts[:-1])]
        near = difflib.get_close_matches(parts[-1], known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"
        yield f"unknown key '{key}' in the recipe{hint}"
    elif kind == "value_error" and str(problem["ctx"]["error"]).startswith("'"):  # it names its keys itself
        yield from str(problem["ctx"]["error"]).splitlines()
    elif kind == "value_error":
        yield f"'{key}' {problem['ctx']['error']} (got {found!r})"
    elif kind == "too_short":
        if not found:  # else what is in the list was refused, and named already
            yield f"'{key}' must have at least one value (got an empty list)"
    elif kind == "dataclass_type":
        yield f"'{key}' must be a section (got {found!r})"
    elif kind in ("dict_type", "mapping_type"):
        yield f"'{key}' must be a table (got {found!r})"
    elif kind.partition("_")[0] in TYPE_WORDS:
        yield f"'{key}' must be of type {TYPE_WORDS[kind.partition('_')[0]]} (got {found!r})"
    else:
        yield f"'{key}': {problem['msg']} (got {found!r})"


def _keys(section: Sequence[str]) -> list[str]:
    """Known keys of the top level, or of a section."""
    schema = json_schema()
    if not section:
        return list(schema["properties"])
    entry = schema["properties"][section[0]]
    return list(schema["$defs"][entry["$ref"].rpartition("/")[2]]["properties"])


def _find_files_beside(file: Path, tree: dict[str, Any]) -> None:
    """Let relative paths of corpora begin at the recipe's folder."""
    corpus = tree.get("corpus")
    if not isinstance(corpus, dict):
        return
    for key in {"test", "train"} & corpus.keys():
        names = corpus[key] if isinstance(corpus[key], list) else [corpus[key]]
        corpus[key] = [own_corpus.relative_to(name, file.parent) if isinstance(name, str) else name for name in names]


def _override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise RecipeError(f"--set takes key=value (got {override!r})")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text
    *sections, last = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise RecipeError(f"--set {key}: {section!r} is no section")
    tree[last] = value
