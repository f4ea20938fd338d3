"""The README's picture: F1 against spreading factor, from the folder of a finished run or of a committed study.

python docs/gallery/make_f1_figure.py docs/results/frozen_mutants docs/gallery/f1_vs_sf.svg
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from llm_bridge.report import load_study
from llm_bridge.report.curves import methods_of, panels
from llm_bridge.report.figures import f1_against_sf, method_styles

STYLES = Path(__file__).resolve().parents[2] / "llm_bridge" / "report" / "templates" / "report.css"


def main(run: Path, out: Path) -> None:
    """Draw *localise* of the first corpus at fixed SNR."""
    study = load_study(run)
    chosen = [
        panel for panel in panels(study) if panel[0].first.task == "localise" and panel[0].first.axis == "fixed_snr"
    ]
    svg = f1_against_sf(chosen[0], method_styles(methods_of(study)))
    if "xmlns=" not in svg.split(">", 1)[0]:
        svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    colours = re.search(r"--page:.*?(?=})", STYLES.read_text(), re.S)  # the page's light palette
    style = f"<style>svg {{ {colours[0] if colours else ''} background: var(--card); }}</style>"
    out.write_text(re.sub(r"<svg[^>]*>", lambda tag: tag[0] + style, svg, count=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
