"""Policies small enough to know everything about."""
