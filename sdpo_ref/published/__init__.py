"""The published simulation study as its equations state it (spec/09-published-study), one file for each of its ideas.

Reading order: ``settings`` (published, left open, changed on purpose), ``world``, ``feedback``, ``teacher``,
``gradients``, ``metrics``, ``batch``, ``step``, ``run``, then ``objects`` for parts from outside. The experiments are
in :mod:`sdpo_ref.study.published`, verdicts in :mod:`sdpo_ref.claims.published`.
"""
