"""Private: compiled kernels and what they stand on. Everything above is readable without opening this folder."""
