"""What needs a CUDA device: ``queue`` has the items, ``work`` is what each of them gets, ``device`` measures.

Each item is a function of a :class:`~benchmarks.gpu.work.Work`. It runs in a process of its own, so that a kernel that
corrupts the device's context or hangs costs one item and not the rest.
"""
