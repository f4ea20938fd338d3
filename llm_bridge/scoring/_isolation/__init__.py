"""Isolation of an untrusted program; `llm_bridge.scoring.sandbox` is its public interface.

    run_tests ─ process.Child ═ pipes ═ child (keeper) ─ fork ─ worker ─ the program
     parent      parent                 builds the cage          serves cases

Two of these modules are read by both sides: `wire` (what crosses the pipes) and `paths` is the parent's. The others
run only in the child, a fresh interpreter that finds this folder as the top-level package ``_isolation``: they import
nothing but the standard library and each other, by relative names.
"""
