"""Other ways to run the suite than the command line: a pytest plugin, and programs that answer JSON lines.

``pytest_plugin`` shows a run as items of the user's own pytest session; ``json_lines`` is an implementation whose parts
are answered by a program in any language. Both only translate: the rest of
``sdpo_ref.verification`` alone decides what is checked, and how (spec/decisions/0027).
"""
