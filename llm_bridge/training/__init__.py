"""Examples, models, adapters and the one training loop. The modules here import torch, and only when used."""
