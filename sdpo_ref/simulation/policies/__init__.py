"""Policies so small that everything about them can be computed exactly."""
