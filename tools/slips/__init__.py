"""Slips of the pen in the reference, one line each, and which of them the suite notices: ``python -m tools.slips``."""
