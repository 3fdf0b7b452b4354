"""What is kept of one finished task, and how it follows from its measurements and its final policy."""

from collections.abc import Mapping, Sequence

import torch
from pydantic import BaseModel, ConfigDict, model_validator

from sdpo_ref.simulation.measure import Measurement, area_under_curve, steps_to_reach
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.diversity import distinct_n, self_bleu

_CELLS_AT_ONCE = 2**19
"""Entries of a policy's table that are handled together; many more do not fit into a processor's cache."""

BEST_SHARE = 0.25
"""Share of the tokens among which precision is counted."""

METRICS: Mapping[str, str] = {
    "final_reward": "normalised reward after the last step: 0 is the base policy, 1 the optimum",
    "area": "area under the curve of the normalised reward, per step",
    "early_reward": "normalised reward after a quarter of the steps; absent if it was not measured there",
    "steps_to_half": "first measured step with a normalised reward of 0.5 or more; absent if there is none",
    "collapsed": "1 if the reward after the last step is below half of the best one on the way, else 0",
    "final_entropy": "entropy of whole completions after the last step, in nats",
    "final_distinctness": "chance that two completions differ at a position, after the last step",
    "final_kl": "KL divergence of whole completions from the base policy, after the last step, in nats",
    "distinct_2": "expected share of different bigrams among those of 8 completions, after the last step",
    "self_bleu": "mean BLEU-4 of each of a prompt's 8 completions against the other 7, after the last step",
    "credit": "correlation of the method's per-token signal with the true advantage, mean over the measured steps",
    "credit_first": "the same on the first rollouts, which all methods share",
    "precision": "share of the best quarter of tokens, by the signal, that truly are; mean over the measured steps",
    "calibration": "regression slope of true quality on the quality that the reader credits; 1 is calibrated",
    "loading_correlation": "correlation of the reader's loadings with the true ones",
    "identity_error": "largest difference between a completion's implicit reward and its closed form, in nats",
    "direction": "cosine of the mean gradient under noise with the gradient without noise",
    "single_direction": "mean cosine of one gradient under noise with the gradient without noise",
}
"""Metric to what it is. A task has those that exist for it."""


class Curve(BaseModel):
    """Exact measurements of a run, as columns of equal length.

    Attributes:
        step: after how many iterations.
        reward: normalised.
        entropy: in nats.
        distinctness: in [0, 1).
        kl_to_base: in nats.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: tuple[int, ...]
    reward: tuple[float, ...]
    entropy: tuple[float, ...]
    distinctness: tuple[float, ...]
    kl_to_base: tuple[float, ...]

    @model_validator(mode="after")
    def _columns_are_equally_long(self) -> "Curve":
        lengths = {name: len(column) for name, column in dict(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"received columns of lengths {lengths}; allowed is one length for all")
        return self


class CreditMap(BaseModel):
    """The first prompt's completions of the first step, with what each token was credited and what it was worth.

    Attributes:
        tokens: ids, one row for each completion.
        credit: the method's per-token signal, in its own unit.
        truth: true advantage, in units of the latent score.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[tuple[int, ...], ...]
    credit: tuple[tuple[float, ...], ...]
    truth: tuple[tuple[float, ...], ...]


class Outcome(BaseModel):
    """What is kept of one finished task.

    Attributes:
        metrics: by name of :data:`METRICS`.
        curve: of a run.
        credit_map: of a run whose method has a per-token signal.
        error: why a run ended early, such as a policy that is not finite; ``None`` for one that ended well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: dict[str, float] = {}
    curve: Curve | None = None
    credit_map: CreditMap | None = None
    error: str | None = None


def curve_of(measurements: Sequence[Measurement]) -> Curve:
    """The measurements as columns.

    Args:
        measurements: in order.
    """
    return Curve(
        step=tuple(at.step for at in measurements),
        reward=tuple(at.reward for at in measurements),
        entropy=tuple(at.entropy for at in measurements),
        distinctness=tuple(at.distinctness for at in measurements),
        kl_to_base=tuple(at.kl_to_base for at in measurements),
    )


def curve_metrics(measurements: Sequence[Measurement]) -> Mapping[str, float]:
    """Metrics of a curve.

    Args:
        measurements: in order, at least two.
    """
    end = measurements[-1]
    half = steps_to_reach(measurements, 0.5)
    early = next((at.reward for at in measurements if 4 * at.step == end.step), None)
    return {
        "final_reward": end.reward,
        "area": area_under_curve(measurements),
        "collapsed": float(end.reward < max(at.reward for at in measurements) / 2),
        "final_entropy": end.entropy,
        "final_distinctness": end.distinctness,
        "final_kl": end.kl_to_base,
        **({} if early is None else {"early_reward": early}),
        **({} if half is None else {"steps_to_half": float(half)}),
    }


def diversity_metrics(policy: FirstOrderPolicy, world: World, *, seed: int, group_size: int) -> Mapping[str, float]:
    """How varied a group of completions of the final policy is.

    Args:
        policy: after training.
        world: whose prompts.
        seed: of the completions that are sampled for self-BLEU.
        group_size: completions to each prompt.
    """
    found: dict[str, float] = {}
    if world.settings.time > 1:
        table = policy.transition_log_probs().detach()
        parts = torch.split(table, max(1, _CELLS_AT_ONCE // table[0].numel()))
        of_prompts = torch.cat([distinct_n(part, n=2, completions=group_size) for part in parts])
        found["distinct_2"] = float(of_prompts.mean())
    if world.settings.time >= 4:
        rollouts = policy.sample(
            every_prompt(world, group_size),
            num_tokens=world.settings.time,
            generator=random_stream(seed, "self_bleu"),
        )
        groups: list[list[list[int]]] = rollouts.completions.reshape(world.settings.prompts, group_size, -1).tolist()
        found["self_bleu"] = sum(self_bleu(group) for group in groups) / len(groups)
    return found
