"""The equations, one family a file, in the order of spec/04-loss: tensors and keyword scalars in, tensors out.

``log_probs`` (temperature, normalisation) -> ``divergence`` -> ``support`` (which tokens are compared) ->
``sampled_token`` -> ``importance`` -> ``aggregation`` (masks and means) -> ``advantages`` and ``implicit_reward``
(the reward's side) -> ``averaging`` (the teacher's weights). No state, no configuration, no I/O.
"""
