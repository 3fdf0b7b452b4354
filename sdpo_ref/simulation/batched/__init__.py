"""The parts of many runs as one program, equal to ``sdpo_ref.simulation.run`` up to rounding (spec/06-simulation, G).

In the order in which data flows: ``runs`` is what a batch is made of and its random numbers, ``first_order`` is the
factored policy, ``student`` its weights and Adam, ``oracle`` judges, ``reader`` and ``teacher`` read, ``update`` is
what the updates of ``self_distillation`` and ``policy_gradient`` share, and ``measure`` measures. The loop over them is
``sdpo_ref.simulation.run_batch``.
"""
