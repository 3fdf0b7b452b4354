"""Decision rules for claims: exact or stated error rates, no I/O, no knowledge of experiments (spec/07, section A).

``sign_rule`` decides a direction, ``magnitude`` a size, ``equivalence`` that two are alike, ``collapse`` a rare event;
all return an ``outcome``. ``display`` computes what is shown beside it.
"""
