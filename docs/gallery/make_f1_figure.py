"""The README's picture, F1 against spreading factor, and what its models learnt over their steps.

python docs/gallery/make_f1_figure.py docs/results/frozen_mutants docs/gallery/f1_vs_sf.svg \\
    docs/gallery/learning_curves.svg

The folder is that of a finished run or of a committed study; the second picture may be left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from llm_bridge.report import load_study
from llm_bridge.report.curves import methods_of, panels, training_losses
from llm_bridge.report.figures import f1_against_sf, loss_over_steps, method_styles

STYLES = Path(__file__).resolve().parents[2] / "llm_bridge" / "report" / "templates" / "report.css"


def main(run: Path, f1: Path, losses: Path | None = None) -> None:
    """Draw *localise* of the first corpus at fixed SNR, and the training losses."""
    study = load_study(run)
    styles = method_styles(methods_of(study))
    chosen = [
        panel for panel in panels(study) if panel[0].first.task == "localise" and panel[0].first.axis == "fixed_snr"
    ]
    write(f1_against_sf(chosen[0], styles), f1)
    if losses is not None:
        write(loss_over_steps(training_losses(study), styles), losses)


def write(svg: str, out: Path) -> None:
    """Write a figure of the report as a picture of its own, in the page's light colours."""
    if "xmlns=" not in svg.split(">", 1)[0]:
        svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    colours = re.search(r"--page:.*?(?=})", STYLES.read_text(), re.S)
    style = f"<style>svg {{ {colours[0] if colours else ''} background: var(--card); }}</style>"
    out.write_text(re.sub(r"<svg[^>]*>", lambda tag: tag[0] + style, svg, count=1), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
