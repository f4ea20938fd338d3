"""From a model to decisions, from decisions to scores with intervals."""
