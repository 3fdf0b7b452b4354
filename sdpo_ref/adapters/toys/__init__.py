"""Stand-ins for what a user brings to a trainer: tokenizer, models, processes, the loop around the trainer.

They are small enough to be known exactly, and real enough that the peers' own code runs on them unchanged.
"""
