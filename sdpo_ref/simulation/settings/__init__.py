"""Validated choices: which variant (``profile``), and what the teacher reads (``context``)."""
