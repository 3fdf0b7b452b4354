"""Node as a fixture."""

from tests.verification.entry.node import node

__all__ = ["node"]
