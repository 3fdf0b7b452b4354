"""The second derivation: every golden value from the formulas of the specification, in 50-digit arithmetic.

Nothing here is shared with the reference: no tensor library, no closed-form gradient, no code. Distributions are
lists of log-probabilities; gradients are central differences. It is slow and plain on purpose.
"""
