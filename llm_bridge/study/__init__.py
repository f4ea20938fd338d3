"""Recipes, cells, the store, the experiment and its report. No torch in the imports."""
