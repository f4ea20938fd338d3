"""Programs with one-line bugs: our own, QuixBugs, and mutants of the standard library. No torch."""
