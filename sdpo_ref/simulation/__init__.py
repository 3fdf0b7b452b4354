"""The simulated world, everything that learns in it, and one run of it (spec/06-simulation).

``settings`` are data; ``world`` is the ground truth, ``oracles`` judge, ``reader`` and ``teachers`` interpret feedback,
``policies`` are students; ``methods`` is the table of training methods; ``assembly`` builds a run, ``run`` executes it
with plain objects, ``run_batch`` (with ``batched``) many as one program, and ``measure`` says what a policy is worth.
"""
