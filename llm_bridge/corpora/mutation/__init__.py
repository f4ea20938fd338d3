"""Mutation operators: one-line bugs put into programs, by trees of our own (`trees`) or by mutmut's operators."""
