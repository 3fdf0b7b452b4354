"""The Triton kernels: one program for each row of logits. Importing them imports Triton, so that is done when used.

``arithmetic`` is the mathematics of a cell and of one pass over a row; ``rows``, ``cells`` and ``gathered`` are the
kernels. All numbers are float32, whatever the logits were made of. Written so that Triton's interpreter
runs them too, which is how they are tested without a GPU. ``no_type_check`` keeps type checkers out, at run time as
well: the arguments are pointers, and Triton compiles the text of a function, not what a decorator makes of it.
"""
