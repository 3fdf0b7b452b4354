"""The toy suite and its user's folder as fixtures."""

from tests.toy_suite import suite, user_folder, workplace

__all__ = ["suite", "user_folder", "workplace"]
