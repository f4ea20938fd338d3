"""Two engines that put one-line bugs into programs: `trees` works on syntax trees, `tokens` on the written line."""
