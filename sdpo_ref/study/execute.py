"""Execute one task with plain objects: a run, or a probe of one gradient; ``execute_batch`` does many at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import DivergedError
from sdpo_ref.functional.implicit_reward import implicit_reward
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.simulation.assembly import Assembled, assemble, learned, read_feedback
from sdpo_ref.simulation.credit import Step
from sdpo_ref.simulation.measure import Gauge, credit_correlation, credit_precision
from sdpo_ref.simulation.methods import credit_signal
from sdpo_ref.simulation.oracles.build import build_oracle
from sdpo_ref.simulation.oracles.wrappers import NoiseLevel
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import every_prompt, run
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings, TaskSettings
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.corpus import loading_correlation
from sdpo_ref.study.outcome import BEST_SHARE, CreditMap, Outcome, curve_metrics, curve_of, diversity_metrics
from sdpo_ref.types import DistillationBatch, Judgement, Rollouts, TeacherView


def execute(settings: TaskSettings, seed: int) -> Outcome:
    """Do one unit of the study's work.

    Implements: SIM-133.

    Args:
        settings: what to do.
        seed: of everything random in it.

    Returns:
        What was found. A policy that is not finite any more ends the run and is an outcome, not an error: that a
        method collapses is a finding.

    Raises:
        InvalidInputError: if the settings do not fit.
        LoadError: if a third party's part cannot be loaded.
    """
    if settings.kind == "probe":
        return Outcome(metrics=dict(probe(settings, seed=seed)))
    parts = assemble(settings, seed=seed)
    watch = _Watch(parts, settings, Gauge(parts.world))
    try:
        curve = run(
            parts.world,
            parts.oracle,
            parts.trainer,
            steps=settings.steps,
            group_size=settings.group_size,
            seed=seed,
            measure_every=settings.measure_every,
            observe=watch,
        )
    except DivergedError as error:
        return Outcome(error=str(error))
    return Outcome(
        metrics={
            **curve_metrics(curve),
            **diversity_metrics(_first_order(parts), parts.world, seed=seed, group_size=settings.group_size),
            **watch.metrics(),
            "loading_correlation": loading_correlation(parts.knowledge.loadings, parts.world.loadings),
        },
        curve=curve_of(curve),
        credit_map=watch.first,
    )


@dataclass
class _Watch:
    """Looks at the rollouts after every measurement, before the update: how good is the method's credit by then?"""

    parts: Assembled
    settings: RunSettings
    gauge: Gauge
    correlations: list[float] = field(default_factory=list)
    precisions: list[float] = field(default_factory=list)
    calibration: float | None = None
    first: CreditMap | None = None

    def __call__(self, step: int, rollouts: Rollouts, judgement: Judgement) -> None:
        """Called by the run before each update."""
        if (step - 1) % self.settings.measure_every:
            return
        step_before = Step(self.parts.teacher, self.parts.trainer, rollouts, judgement)
        signal = credit_signal(self.settings.method, step_before)
        if signal is None:
            return
        truth = self.gauge.true_advantages(_first_order(self.parts), rollouts)
        mask = rollouts.completion_mask
        self.correlations.append(credit_correlation(signal, truth, mask))
        self.precisions.append(credit_precision(signal, truth, mask, share=BEST_SHARE))
        if step == 1:
            rows = rollouts.prompts.group_ids == rollouts.prompts.group_ids[0]
            tokens: list[list[int]] = rollouts.completions[rows].tolist()
            self.first = CreditMap(
                tokens=tuple(tuple(row) for row in tokens), credit=_rows(signal[rows]), truth=_rows(truth[rows])
            )
            kappas = {reader.kappa for reader in self.settings.readers}
            if self.settings.method.method == "sdpo" and len(kappas) == 1:
                self.calibration = _calibration(self.parts, rollouts, judgement, kappa=kappas.pop())

    def metrics(self) -> Mapping[str, float]:
        """What was seen, as far as there was something to see."""
        found: dict[str, float] = {}
        if self.correlations:
            found["credit"] = sum(self.correlations) / len(self.correlations)
            found["credit_first"] = self.correlations[0]
            found["precision"] = sum(self.precisions) / len(self.precisions)
        if self.calibration is not None:
            found["calibration"] = self.calibration
        return found


def _calibration(parts: Assembled, rollouts: Rollouts, judgement: Judgement, *, kappa: float) -> float | None:
    """Slope of the regression of true quality on credited quality, per position; None if nothing is credited."""
    prompts = rollouts.prompts
    with torch.no_grad():
        before = parts.trainer.policy.logits(prompts, rollouts.completions, rollouts.completion_mask)
    tilt = _centred(parts.teacher.view(rollouts, judgement).logits - before)
    truth = _centred(parts.world.quality[prompts.group_ids])
    scale = float(tilt.square().sum())
    return kappa * float((tilt * truth).sum()) / scale if scale > 0 else None


def _centred(values: Float[Tensor, "rollout time vocab"]) -> Float[Tensor, "rollout time vocab"]:
    return values - values.mean(-1, keepdim=True)


def _first_order(parts: Assembled) -> FirstOrderPolicy:
    policy = parts.trainer.policy
    assert isinstance(policy, FirstOrderPolicy)  # noqa: S101  # the run has refused any other
    return policy


def _rows(values: Float[Tensor, "rollout time"]) -> tuple[tuple[float, ...], ...]:
    rows: list[list[float]] = values.tolist()
    return tuple(tuple(row) for row in rows)


def probe(settings: ProbeSettings, *, seed: int) -> Mapping[str, float]:
    """Judge the same rollouts again and again, and compare where the gradients point.

    The reader assumes the same noise throughout, so that only the judgements differ.
    Implements: SIM-135.

    Args:
        settings: the world, the oracle, the reader, and how many judgements.
        seed: of everything random.

    Returns:
        ``direction``, ``single_direction`` and ``identity_error``; see :data:`~sdpo_ref.study.outcome.METRICS`.
    """
    world = World.draw(settings.world, seed=seed)
    policy = FirstOrderPolicy.base(world)
    oracle = build_oracle(world, settings.oracle, seed=seed)
    rollouts = policy.sample(
        every_prompt(world, settings.group_size),
        num_tokens=settings.world.time,
        generator=random_stream(seed, "probe", "rollouts"),
    )
    reading = read_feedback(
        settings, world, [learned(world, reader, seed=seed) for reader in settings.readers], seed=seed
    )

    def views(judgement: Judgement) -> TeacherView:
        return reading.view(policy, rollouts, judgement)

    exact = views(NoiseLevel(oracle, 0.0).judge(rollouts, generator=random_stream(seed, "probe", 0)))
    clean = _gradient(policy, rollouts, exact)
    noisy = [
        _gradient(policy, rollouts, views(oracle.judge(rollouts, generator=random_stream(seed, "probe", draw))))
        for draw in range(1, settings.draws + 1)
    ]
    mean = torch.stack(noisy).mean(0)
    return {
        "direction": _cosine(mean, clean),
        "single_direction": sum(_cosine(one, clean) for one in noisy) / len(noisy),
        "identity_error": _identity_error(policy, rollouts, exact),
    }


def _gradient(policy: FirstOrderPolicy, rollouts: Rollouts, view: TeacherView) -> Float[Tensor, "prompt time vocab"]:
    batch = DistillationBatch(
        policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask),
        view.logits,
        rollouts.completions,
        rollouts.completion_mask,
        view.self_distillation_mask,
    )
    (gradient,) = torch.autograd.grad(sdpo_loss(batch, alpha=1.0), policy.table)
    return gradient


def _identity_error(policy: FirstOrderPolicy, rollouts: Rollouts, view: TeacherView) -> float:
    """The implicit reward against its closed form: tilts of the sampled tokens minus normalisers."""
    with torch.no_grad():
        before = log_probs(policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask))
        implicit = implicit_reward(view.logits, before, rollouts.completions, rollouts.completion_mask)
        tilt = view.logits - policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        sampled = tilt.gather(-1, rollouts.completions[..., None]).squeeze(-1)
        normalizers = (before + tilt).logsumexp(-1)
        return float((implicit - (sampled - normalizers).sum(-1)).abs().max())


def _cosine(left: Tensor, right: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(left.flatten(), right.flatten(), dim=0))
