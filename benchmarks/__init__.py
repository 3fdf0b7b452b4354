"""What the optimised variants cost and how exact they are, measured against goals that were set beforehand.

In the order of use: ``goals`` says what is asked, ``inputs`` makes the batches, ``contestants`` and ``peers`` are what
is compared, ``race`` and ``memory`` measure on a CPU, ``record`` keeps what was found, ``table`` shows it. The folder
``gpu`` and the script ``gpu_queue.py`` do the same on a CUDA device.
"""
