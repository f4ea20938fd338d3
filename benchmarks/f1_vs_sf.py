"""The main job: F1 against spreading factor, from program text to report.

    python benchmarks/f1_vs_sf.py --out runs/demo                      # the demo recipe: about ten minutes on two cores
    python benchmarks/f1_vs_sf.py my.toml --set radio.cr=4 --out DIR   # any recipe

A thin caller of ``python -m llm_bridge run``; the same command again continues where it stopped.
"""

from __future__ import annotations

import sys

from llm_bridge.__main__ import main

if __name__ == "__main__":
    recipe = [] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else ["demo"]
    sys.argv = [sys.argv[0], "run", *recipe, *sys.argv[1:]]
    main()
