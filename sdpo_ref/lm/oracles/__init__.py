"""Oracles that read text: ``checkers`` (programs), ``reward_functions`` (TRL's signature), ``judges`` (other models).

``partial`` is what they have in common: a judgement that may be missing for some rollouts, and is never made up.
"""
