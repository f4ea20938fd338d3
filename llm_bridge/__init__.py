"""Program text over a LoRa radio link into the fine-tuning of a language model, scored on bugs.

Importing this package stays light: nothing here imports torch.
"""
