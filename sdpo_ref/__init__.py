"""Reference specification of self-distillation policy optimisation (SDPO).

Read it in the order in which the data flows: ``types`` (what is passed around), ``protocols`` (what you may
plug in), ``functional`` (the equations, one family a file), ``losses`` (the objective), ``teachers`` and
``trainers`` (who uses it), ``verify`` (the suite that checks any implementation against ``spec/``).

Importing this package imports nothing heavy; import what you need from its modules.
"""

__version__ = "0.1.0"
"""Version of the suite."""

SPEC_VERSION = "0.2"
"""Version of the specification: grows when a MUST changes."""
