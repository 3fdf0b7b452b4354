"""The suite tests itself: it must catch every mutant and pass every right implementation.

``targets`` (what is run, and what is found about each) -> ``processes``, each a ``worker`` -> ``problems`` (the kill
matrix, and what is wrong) -> ``page``. ``probe_calls`` and ``difference_from_reference`` prove that a mutant differs
from the reference; ``repeats`` runs the right variants under other random inputs.
"""
