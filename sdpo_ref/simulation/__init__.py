"""How runs are executed (spec/06-simulation, sections E and G).

``reference`` is one run with plain objects; ``batched`` is many runs as one program, held equal to it; ``measure`` says
what a policy is worth.
"""
