"""Many runs as one program, equal to ``sdpo_ref.simulation.run`` up to rounding (spec/06-simulation, section G).

In the order in which data flows: ``runs`` is what a batch is made of, ``streams`` draws the random numbers,
``first_order`` is the factored policy, ``student`` its weights and Adam, ``oracle`` judges, ``reader`` and ``teacher``
read, ``self_distillation`` and ``policy_gradient`` (with ``penalty``) update, ``measure`` says what came of it, and
``run`` is the loop.
"""

from sdpo_ref.simulation.batched.run import Trained, run_batch, usable_device
from sdpo_ref.simulation.batched.runs import Run, batch_key

__all__ = ["Run", "Trained", "batch_key", "run_batch", "usable_device"]
