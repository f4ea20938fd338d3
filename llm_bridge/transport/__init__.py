"""Text to packets to radio frames, and back to text with a record of the damage. No torch."""
