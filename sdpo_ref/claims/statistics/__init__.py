"""Decision rules for claims: exact or stated error rates, no I/O, no knowledge of experiments (spec/07, section A).

``sign_rule`` decides a direction, ``magnitude`` a size, ``equivalence`` sameness, ``collapse`` a rare event, ``grid``
reads outcomes along levels; ``display`` computes what is shown beside them, ``calibration`` measures a rule's rates on
stored values. All of them return a ``outcome``.
"""
