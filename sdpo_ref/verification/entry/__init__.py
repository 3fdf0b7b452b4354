"""Doors to ``verify`` beside the command line: each translates a caller or an implementation, and judges nothing.

``pytest_plugin`` shows a run as items of somebody's own pytest session; ``json_lines`` is an implementation whose parts
are answered by a program in any language. What is checked, and how, is decided in ``sdpo_ref.verification`` alone
(spec/decisions/0027).
"""
