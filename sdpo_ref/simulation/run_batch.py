"""Runs of one shape as one program: the clear simulator's loop with a run axis (``sdpo_ref.simulation.run``).

Data flows one way: the students sample rollouts -> the oracles judge them -> the methods (and the teachers inside
them) read the judgements and update the students -> exact measurements.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import DivergedError, InvalidInputError, UnsupportedError
from sdpo_ref.simulation.batched.first_order import FirstOrder, Grammars
from sdpo_ref.simulation.batched.measure import Gauges
from sdpo_ref.simulation.batched.oracle import Oracles
from sdpo_ref.simulation.batched.runs import Run, Sizes, step_draws
from sdpo_ref.simulation.batched.student import Students
from sdpo_ref.simulation.batched.update import Batch, Credit, Moment, Penalties
from sdpo_ref.simulation.measure import Measurement, diverged
from sdpo_ref.simulation.methods import METHODS, build_update
from sdpo_ref.simulation.settings import RunBase, SelfDistilledBase


@dataclass(frozen=True)
class Watched:
    """The step after a measurement.

    Attributes:
        moment: what was sampled and judged.
        credit: that the methods gave before their update.
        true_advantages: A* of every sampled token under the policy that sampled it.
    """

    moment: Moment
    credit: Credit
    true_advantages: Float[Tensor, "run prompt time rollout"]


Observer = Callable[[Watched], None]
"""Is shown the step after each measurement."""


@dataclass(frozen=True)
class Trained:
    """What became of the runs.

    Attributes:
        curves: of each run its measurements in order, or why it ended early.
        policy: at the end; that of a run that ended early means nothing.
    """

    curves: list[list[Measurement] | DivergedError]
    policy: FirstOrder


def run_batch(runs: Sequence[Run], *, device: str = "cpu", observe: Observer = lambda _watched: None) -> Trained:
    """Train all runs, step by step together.

    A run gives the same numbers alone, in any batch, and in ``sdpo_ref.simulation.run`` up to rounding: its random
    numbers are named by its seed, and nothing is summed over runs.
    Implements: SIM-160, SIM-161, SIM-162.

    Args:
        runs: with one :func:`~sdpo_ref.simulation.run_batch.batch_key`.
        device: where to compute, such as ``cpu`` or ``cuda``.
        observe: is shown the step after each measurement.

    Returns:
        Curves and final policies, in the order of the runs.

    Raises:
        InvalidInputError: if there are no runs, or they do not fit together.
        UnsupportedError: if the device is not there, or a run needs the simulator ``reference``.
    """
    where = usable_device(device)
    _refuse_misfits(runs)
    settings = runs[0].settings
    students, oracles = Students(runs, where), Oracles(runs, where)
    grammars = Grammars.from_logits(torch.stack([run.world.grammar for run in runs]).to(where))
    update = build_update(Batch(runs, students, oracles, Penalties(runs, students), where))
    policy = FirstOrder.from_scores(students.scores(), grammars)
    gauges = Gauges(runs, policy)
    found = [gauges.measure(policy, step=0)]
    lost: dict[int, int] = {}  # run to the step of the measurement that finds it not finite any more
    sizes = Sizes(settings.world.prompts, settings.group_size, settings.world.time, _ratings(runs[0]))
    seeds = [run.seed for run in runs]
    for step in range(1, settings.steps + 1):
        draws = step_draws(seeds, step, sizes, device=where)
        tokens = policy.sample(draws.uniform)
        log_probs = policy.log_probs(tokens)
        moment = Moment(step, policy, tokens, log_probs, oracles.judge(tokens, log_probs, draws))
        follows_measurement = (step - 1) % settings.measure_every == 0
        credit = update.learn(moment, credited=follows_measurement)
        if credit is not None:
            observe(Watched(moment, credit, gauges.true_advantages(policy, tokens)))
        policy = FirstOrder.from_scores(students.scores(), grammars)
        if step % settings.measure_every == 0 or step == settings.steps:
            found.append(gauges.measure(policy, step=step))
            for row in torch.isnan(policy.scores).flatten(1).any(-1).nonzero()[:, 0].tolist():
                lost.setdefault(row, step)
    curves = [diverged(lost[row]) if row in lost else [at[row] for at in found] for row in range(len(runs))]
    return Trained(curves, policy)


def batch_key(settings: RunBase) -> Hashable | None:
    """Equal for runs that have the same shape and take the same steps; numbers may differ, from noise to learning rate.

    Args:
        settings: of a run.

    Returns:
        The key; ``None`` for a run that only the simulator ``reference`` can do: one with a third party's part, one
        whose method has no batched update, or one whose placebo replaces several regimes.

    Example:
        >>> from sdpo_ref.simulation.methods import Rloo
        >>> slow, fast = (RunBase(method=Rloo(learning_rate=rate)) for rate in (0.1, 0.2))
        >>> batch_key(slow) == batch_key(fast)
        True
    """
    method, several = settings.method, len(settings.oracle.regimes) > 1
    if METHODS[method.method].update is None or settings.oracle_factory is not None:
        return None
    if isinstance(method, SelfDistilledBase) and (
        method.teacher_factory is not None or (method.placebo is not None and several)
    ):
        return None
    if method.reads_spans and several:
        return None
    shared = {name: setting for name, setting in method if not isinstance(setting, float)}
    world = settings.world
    return (
        (world.prompts, world.time, world.vocab, world.aspects, settings.group_size),
        tuple((one.regime, one.spans if one.regime == "critique" else 0) for one in settings.oracle.regimes),
        tuple(sorted(shared.items())),
        (settings.steps, settings.measure_every),
    )


def _ratings(run: Run) -> int:
    """How many ratings are made of a rollout at most: the whole, and each aspect or span."""
    aspects = run.settings.world.aspects
    return 1 + max({"rubric": aspects, "critique": one.spans}.get(one.regime, 0) for one in run.settings.oracle.regimes)


def usable_device(name: str) -> torch.device:
    """A device by its name.

    Args:
        name: such as ``cpu`` or ``cuda``.

    Returns:
        The device; tensors can be made on it.

    Raises:
        UnsupportedError: if it is not there.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UnsupportedError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); 'cpu' is always there"
        ) from error
    return device


def _refuse_misfits(runs: Sequence[Run]) -> None:
    if not runs:
        raise InvalidInputError("received no runs, allowed is at least 1")
    keys = {batch_key(run.settings) for run in runs}
    if None in keys:
        raise UnsupportedError(
            "a run has a third party's part, or a placebo in several regimes; use the simulator 'reference' for it"
        )
    if len(keys) > 1:
        raise InvalidInputError(f"received runs of {len(keys)} shapes, allowed is one; group them by batch_key")
