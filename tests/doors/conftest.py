"""Node as a fixture."""

from tests.doors.node import node

__all__ = ["node"]
