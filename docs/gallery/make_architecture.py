"""Draw docs/gallery/architecture.svg from the imports, from the repository's root:

    python docs/gallery/make_architecture.py

A box is a folder (or a module that stands alone in its package), an arrow says that some module of the one imports from
the other; one that a chain of arrows stands for is not drawn. Boxes lie above all that they import. Imports for type
checkers alone do not count.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
PACKAGES = ("llm_bridge", "lora_phy")
SMALL = {
    "lora_phy": ("params", "units", "arrays", "checks"),
    "llm_bridge": ("annotations", "arrays", "files"),
}
"""Modules without a folder that many import: one box each package, called "basics"."""
PASSED_OVER = ("__init__", "__main__", "recipes", "py")


def box_of(module: str) -> str | None:
    """The box of a dotted module name; None for what is not drawn."""
    package, *rest = module.split(".")
    if package not in PACKAGES or not rest or rest[0] in PASSED_OVER:
        return None
    return f"{package}.basics" if rest[0] in SMALL[package] else f"{package}.{rest[0]}"


def imports() -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Modules in each box, and for each pair of boxes how many import statements lead from the one to the other."""
    boxes: dict[str, int] = {}
    arrows: dict[tuple[str, str], int] = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        own = box_of(module)
        if own is None:
            continue
        if path.name != "__init__.py":
            boxes[own] = boxes.get(own, 0) + 1
        for name in imported(ast.parse(path.read_bytes())):
            other = box_of(name)
            if other is not None and other != own:
                arrows[own, other] = arrows.get((own, other), 0) + 1
    return boxes, {pair: count for pair, count in arrows.items() if pair[0] in boxes and pair[1] in boxes}


def imported(tree: ast.Module) -> list[str]:
    """Names that a file imports of the two packages, wherever in the file, but not for type checkers alone."""
    names = []
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                is_module = (ROOT / longer.replace(".", "/")).is_dir() or (
                    ROOT / f"{longer.replace('.', '/')}.py"
                ).exists()
                names.append(longer if is_module else public_home(node.module, alias.name))
    return names


def public_home(module: str, name: str) -> str:
    """Where a name stands that is imported from a package's face."""
    if module not in PACKAGES:
        return module
    text = (ROOT / module / "__init__.py").read_text()
    for line in text.splitlines():  # "name": "package.module" of the lazy table, or an import
        if f'"{name}": "' in line:
            home = line.split(f'"{name}": "')[1].split('"')[0]
            return home if home.startswith(module) else f"{module}.{home.lstrip('.')}"
        if line.strip().startswith(f"from {module}.") and line.split(" import ")[1].split(" as ")[0] == name:
            return line.split()[1]
    return module


def levels(boxes: dict[str, int], arrows: dict[tuple[str, str], int]) -> dict[str, int]:
    """Height of each box: one more than the highest box that it imports."""
    height: dict[str, int] = {}

    def of(box: str, above: tuple[str, ...] = ()) -> int:
        if box in above:
            raise SystemExit(f"a circle of imports: {' -> '.join([*above, box])}")
        if box not in height:
            below = [of(other, (*above, box)) for one, other in arrows if one == box and same_package(one, other)]
            height[box] = 1 + max(below, default=-1)
        return height[box]

    for box in boxes:
        of(box)
    return height


def same_package(one: str, other: str) -> bool:
    """Whether two boxes belong to one package."""
    return one.split(".")[0] == other.split(".")[0]


def direct(arrows: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """The arrows that no chain of others stands for."""
    below: dict[str, set[str]] = {}
    for one, other in arrows:
        below.setdefault(one, set()).add(other)

    def reaches(one: str, other: str) -> bool:
        return any(step == other or reaches(step, other) for step in below.get(one, ()))

    return {
        (one, other): count
        for (one, other), count in arrows.items()
        if not any(step != other and reaches(step, other) for step in below[one])
    }


def main() -> None:
    """Draw the picture."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    matplotlib.rcParams["svg.hashsalt"] = "chirpbridge"
    boxes, arrows = imports()
    height = levels(boxes, arrows)
    figure, ax = plt.subplots(figsize=(11.0, 7.6), layout="tight")
    colours = {"llm_bridge": "#dfe8f6", "lora_phy": "#e3f0dd"}
    place: dict[str, tuple[float, float]] = {}
    for column, package in enumerate(PACKAGES):
        own = {box: height[box] for box in boxes if box.startswith(package)}
        top = max(own.values())
        for level in range(top + 1):
            row = sorted(box for box, at in own.items() if at == level)
            for index, box in enumerate(row):
                x = 10.5 * column + 5.0 * (index + 0.5) * 2 / max(len(row), 1)
                place[box] = (x, 1.35 * level * (8 / max(top, 1)) / 1.35)
        ax.text(10.5 * column + 5.0, 9.3, package, ha="center", fontsize=15, weight="bold")
    for (one, other), count in direct(arrows).items():
        (x1, y1), (x2, y2) = place[one], place[other]
        crossing = not same_package(one, other)
        ax.add_patch(
            FancyArrowPatch(
                (x1, y1 - (0 if crossing else 0.28)), (x2, y2 + (0 if crossing else 0.28)), arrowstyle="-|>",
                mutation_scale=9, lw=0.5 + 0.25 * min(count, 8) ** 0.5, shrinkA=20 if crossing else 2,
                shrinkB=34 if crossing else 2, connectionstyle="arc3,rad=0.06",
                color="#b03a2e" if crossing else "#8a8f98", alpha=0.9 if crossing else 0.65, zorder=1,
            )
        )  # fmt: skip
    for box, (x, y) in place.items():
        package, name = box.split(".")
        width = 0.62 + 0.155 * max(len(name), 9)
        ax.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - 0.27), width, 0.54, boxstyle="round,pad=0.02,rounding_size=0.12",
                fc=colours[package], ec="#4a4f57", lw=0.9, zorder=2,
            )
        )  # fmt: skip
        ax.text(x, y + 0.06, name, ha="center", va="center", fontsize=10.5, zorder=3)
        files = f"{boxes[box]} module" + ("s" if boxes[box] != 1 else "")
        ax.text(x, y - 0.16, files, ha="center", va="center", fontsize=7, color="#4a4f57", zorder=3)
    ax.set_xlim(-0.6, 21.1)
    ax.set_ylim(-0.6, 9.8)
    ax.set_axis_off()
    figure.savefig(HERE / "architecture.svg", metadata={"Date": None})
    print("\n".join(f"{one} -> {other}: {count}" for (one, other), count in sorted(arrows.items())))


if __name__ == "__main__":
    sys.exit(main())
