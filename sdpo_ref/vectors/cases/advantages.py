"""Hybrid losses (LOSS-071, LOSS-072, LOSS-117) and implicit rewards (LOSS-080)."""

from sdpo_ref.vectors.array import array
from sdpo_ref.vectors.case import Case
from sdpo_ref.vectors.cases import hazards
from sdpo_ref.vectors.cases.build import LossInputs, logs, loss_inputs, random_batch, rounding_tolerance


def _rewarded(batch: LossInputs, rewards: list[float], group_ids: list[int]) -> LossInputs:
    return {**batch, "rewards": array(rewards), "group_ids": array(group_ids, "int64")}


_HYBRID_BATCHES: dict[str, tuple[LossInputs, str]] = {
    "two-rollouts": (
        _rewarded(
            loss_inputs(
                [logs([0.5, 0.3, 0.2]), logs([0.2, 0.3, 0.5])],
                [logs([0.2, 0.6, 0.2]), logs([0.6, 0.2, 0.2])],
                [[0], [2]],
                [[True], [True]],
                [True, True],
            ),
            [1.0, 0.0],
            [0, 0],
        ),
        "Two rollouts of one token, rewards 1 and 0",
    ),
    "one-success": (
        _rewarded(
            random_batch(
                71, vocab=5, time=3, bounds=[(0, 3), (0, 2), (1, 3), (0, 1)], usable=[False, True, True, True]
            ),
            [1.0, 0.0, 0.0, 0.0],
            [4, 4, 4, 4],
        ),
        "One success in a group of four, which itself has no teacher: advantages 0.75 and -0.25",
    ),
    "two-groups": (
        _rewarded(
            random_batch(
                72,
                vocab=7,
                time=4,
                bounds=[(0, 4), (1, 3), (0, 0), (2, 4), (0, 2)],
                usable=[True, False, True, True, True],
            ),
            [0.5, 2.0, -1.0, 3.0, 0.25],
            [1, 0, 1, 0, 1],
        ),
        "Two interleaved groups of unequal size, one rollout without tokens, one without teacher",
    ),
}


def _hybrid(name: str, reward_weight: float) -> Case:
    inputs, sentence = _HYBRID_BATCHES[name]
    ends = {0.0: ("LOSS-072",), 1.0: ("LOSS-117",)}
    largest = max(abs(value) for value in inputs["student_logits"].values)
    return Case(
        id=f"hybrid-{name}-weight-{reward_weight:g}",
        kind="hybrid",
        requirements=ends.get(reward_weight, ("LOSS-071",)),
        comment=f"{sentence}; reward weight {reward_weight:g}.",
        hazard=hazards.HYBRID,
        options={"reward_weight": reward_weight, "hybrid": "advantage", "support": "sampled_token"},
        inputs=inputs,
        tolerance=rounding_tolerance(inputs, factor=max(1.0, largest)),
    )


def hybrid_cases() -> list[Case]:
    """Questions about the hybrid loss."""
    return [_hybrid(name, weight) for name in _HYBRID_BATCHES for weight in (0.0, 0.1, 0.5, 0.9, 1.0)]


def implicit_reward_cases() -> list[Case]:
    """Questions about the reward that the context implies."""
    layouts = {
        "one-token": ([(0, 1)], 1, "One token"),
        "ragged": ([(0, 4), (1, 3), (2, 4)], 4, "Rows of unequal length with padding on either side"),
        "empty-row": ([(0, 0), (0, 5)], 5, "A rollout without tokens, whose reward is zero"),
    }

    def case(seed: int, name: str) -> Case:
        bounds, time, text = layouts[name]
        batch = random_batch(seed, vocab=6, time=time, bounds=bounds, usable=[True] * len(bounds))
        inputs = {
            "conditioned_logits": batch["teacher_logits"],
            "reference_logits": batch["student_logits"],
            "completions": batch["completions"],
            "completion_mask": batch["completion_mask"],
        }
        return Case(
            id=f"implicit-reward-{name}",
            kind="implicit_reward",
            requirements=("LOSS-080",),
            comment=f"{text}.",
            hazard=hazards.IMPLICIT_REWARD,
            options={},
            inputs=inputs,
            tolerance=rounding_tolerance(inputs, factor=float(time)),
        )

    return [case(81 + index, name) for index, name in enumerate(layouts)]
