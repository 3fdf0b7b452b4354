"""The suite tests itself: it must catch every mutant and leave every right implementation alone.

``targets`` (what is run) -> ``pool`` of ``worker`` processes -> ``findings`` (one for each target) -> ``judgement``
(the kill matrix, and what is wrong with it) -> ``table`` (the page). ``probes`` and ``liveness`` prove that a mutant is
one; ``leave_one_out`` measures the diagnosis.

Blind changes: ``mutations`` (every small one of a file) -> ``mutation_suite`` and ``mutation_tests`` (who notices) ->
``survivors`` (which are none) -> ``mutation_score`` (the table).
"""
