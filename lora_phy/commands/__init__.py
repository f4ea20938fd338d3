"""The commands of ``python -m lora_phy``, one module for each family; each has `add`, which declares its options.

Declaring imports nothing slow: what a command needs is imported when it runs.
"""
