"""What runs on the device, one row of logits a program. Imports Triton, so nothing above imports it before it is used.

``arithmetic`` is the mathematics of a cell, ``sweep`` one pass over a row; ``rows``, ``cells`` and ``tail`` are the
kernels made of them. All numbers are float32, whatever the logits were made of. Written so that Triton's interpreter
runs them too, which is how they are tested without a GPU. ``no_type_check`` keeps type checkers out, at run time as
well: the arguments are pointers, and Triton compiles the text of a function, not what a decorator makes of it.
"""
