"""The one error family: every message says what was received, what is allowed and what to do.

Each class also derives from the built-in exception that a caller would expect, so ``except ValueError`` works.
"""


class SdpoRefError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidInputError(SdpoRefError, ValueError):
    """A tensor, number or option lies outside what the specification allows."""


class DivergedError(SdpoRefError, ArithmeticError):
    """Training has left the policy with numbers that are not finite."""


class UnsupportedError(SdpoRefError, NotImplementedError):
    """An implementation does not offer the requested part or option."""


class LoadError(SdpoRefError):
    """An implementation could not be loaded from its ``module:factory`` name."""


class UsageError(SdpoRefError):
    """A command was called with arguments that do not fit together."""


class IntegrityError(SdpoRefError):
    """A golden vector, the spec or the manifest is not what the suite was released with."""


class StoreError(SdpoRefError, OSError):
    """The study's store cannot be read or written; its contents are unchanged."""


class TaskError(SdpoRefError, RuntimeError):
    """A task of the study raised an unexpected error; what had finished before is in the store."""
