"""A trainer's first calls, compared exactly with those of one that is written out (spec/05-trainer, B)."""

from collections.abc import Callable, Mapping
from typing import NoReturn

import pytest
import torch

from sdpo_ref.verification.checks.comparison import assert_close, assert_that
from sdpo_ref.verification.checks.first_steps import (
    ABSOLUTE,
    Asked,
    Enumerated,
    MakeInputs,
    Ragged,
    SmallStudy,
    compare_gradient,
    compare_steps,
    first_steps,
    own_weights,
)
from sdpo_ref.verification.checks.inputs import repeated_seed
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.checks.written_out import Hybrid, Way, of_all_sampled

STUDY = {"prompts": 3, "rollouts each": 4, "tokens": 4}
RAGGED = {"lengths in the first call": "4, 2, 3, 4, 2, 2, 4, 3", "rows without feedback": "3 and 0"}
UNSEEN = "no gradient reaches the policy's weights or an optimiser of PyTorch that has them"


@pytest.mark.requirement("TRAIN-011")
def test_first_gradient(subject: Subject, not_applicable: Callable[[str], NoReturn]) -> None:
    """The gradient of the first step, read where it reaches the policy's weights or their optimiser."""
    inputs = SmallStudy(repeated_seed(0))
    found = first_steps(subject.trainer(), inputs)
    if found.gradient is None:
        not_applicable(UNSEEN)
    compare_gradient(found, inputs, subject.profile, given=STUDY)


@pytest.mark.requirement("TRAIN-011")
def test_large_first_gradient(subject: Subject, not_applicable: Callable[[str], NoReturn]) -> None:
    """A teacher that is far away: the gradient has a norm above ten, and is not cut."""
    inputs = Ragged(repeated_seed(0), distance=200.0)
    found = first_steps(subject.trainer(), inputs)
    if found.gradient is None:
        not_applicable(UNSEEN)
    compare_gradient(found, inputs, subject.profile, given={**RAGGED, "norm of the gradient": "above ten"})


@pytest.mark.requirement("TRAIN-012")
def test_three_calls(subject: Subject) -> None:
    """Three calls in the study's own loop."""
    inputs = SmallStudy(repeated_seed(0))
    compare_steps(first_steps(subject.trainer(), inputs), inputs, subject.profile, given=STUDY)


@pytest.mark.requirement("TRAIN-012")
@pytest.mark.parametrize("learning_rate", [2.0, 1e-3])
def test_three_calls_at_another_rate(subject: Subject, learning_rate: float) -> None:
    """A learning rate far above or below the usual one is used as it is."""
    inputs, asked = SmallStudy(repeated_seed(0)), Asked(learning_rate=learning_rate)
    found = first_steps(subject.trainer(), inputs, asked)
    compare_steps(found, inputs, subject.profile, asked, given={**STUDY, "learning rate": learning_rate})


@pytest.mark.requirement("TRAIN-013")
def test_three_ragged_calls(subject: Subject) -> None:
    """Completions of three lengths, a quarter of the rows without feedback."""
    inputs = Ragged(repeated_seed(0))
    found = first_steps(subject.trainer(), inputs)
    given = {**RAGGED, "aggregation": subject.profile.aggregation}
    compare_gradient(found, inputs, subject.profile, given=given)
    compare_steps(found, inputs, subject.profile, given=given)


def _compare_two(subject: Subject, one: MakeInputs, other: MakeInputs, changed: str, looks_like: str = "") -> None:
    """Two settings lead to the same policy."""
    before, after = (first_steps(subject.trainer(), it) for it in (one, other))
    for call, (left, right) in enumerate(zip(before.log_probs, after.log_probs, strict=True)):
        finite = bool(torch.isfinite(right).all())
        off = float((left - right[:, : left.shape[1]]).abs().max()) if finite else float("nan")
        assert_that(
            off <= ABSOLUTE,
            "the same policy after each call",
            f"after call {call} log-probabilities are {f'up to {off:.2g} nats apart' if finite else 'not finite'}",
            {"changed": changed},
            tolerance=f"{ABSOLUTE:g} nats",
            looks_like=looks_like,
        )


@pytest.mark.requirement("TRAIN-014")
@pytest.mark.parametrize("padding", [(2, 0, 4), (-100, 10**6, -1)], ids=["other ids", "no ids"])
def test_ids_of_padding(subject: Subject, padding: tuple[int, ...]) -> None:
    """Other ids stand behind the mask; the policy itself does not read them."""
    seed = repeated_seed(0)
    _compare_two(subject, Ragged(seed), Ragged(seed, padding=padding), f"ids of padding to {list(padding)}")


@pytest.mark.requirement("TRAIN-014")
@pytest.mark.parametrize("garbage", [-40.0, float("nan"), float("inf")])
def test_scores_that_do_not_count(subject: Subject, garbage: float) -> None:
    """Other scores of the teacher stand where nothing counts: behind the mask and in rows without feedback."""
    seed = repeated_seed(0)
    what = f"scores of the teacher where nothing counts, from 7 to {garbage:g}"
    looks_like = "" if garbage == -40.0 else "M546 what does not count is multiplied by zero and not left out"
    _compare_two(subject, Ragged(seed), Ragged(seed, garbage=garbage), what, looks_like)


@pytest.mark.requirement("TRAIN-014")
def test_more_padding(subject: Subject, not_applicable: Callable[[str], NoReturn]) -> None:
    """Two more padded positions."""
    seed = repeated_seed(0)
    if subject.profile.aggregation == "time_normalized_sum":
        not_applicable("time_normalized_sum divides by the longer time")
    _compare_two(subject, Ragged(seed), Ragged(seed, wider=2), "two more padded positions")


@pytest.mark.requirement("TRAIN-014")
def test_rows_without_feedback(subject: Subject) -> None:
    """Rows without feedback hold other completions."""
    seed = repeated_seed(0)
    _compare_two(subject, Ragged(seed), Ragged(seed, stray=2), "sampled ids of rows without feedback")


@pytest.mark.requirement("TRAIN-013")
def test_rows_in_any_order(subject: Subject) -> None:
    """The rows of a call may come in any order."""
    seed = repeated_seed(0)
    _compare_two(subject, Ragged(seed), Ragged(seed, order=(3, 0, 6, 2, 7, 1, 5, 4)), "order of rows")


@pytest.mark.requirement("TRAIN-015")
def test_nothing_usable(subject: Subject) -> None:
    """A first call in which no row has feedback."""
    found = first_steps(subject.trainer(), Ragged(repeated_seed(0), usable=False), calls=1)
    assert_close(
        found.log_probs[1],
        found.log_probs[0],
        what="log-probabilities in nats",
        absolute=1e-12,
        given={"rows with feedback": 0},
    )


@pytest.mark.requirement("TRAIN-016")
@pytest.mark.parametrize("live", [True, False], ids=["live", "frozen"])
def test_teacher_is_left_alone(subject: Subject, live: bool) -> None:  # noqa: FBT001 - a parameter
    """A number of the teacher's own, and the weights of one that does not follow the student, stay as they are."""
    inputs = Ragged(repeated_seed(0), live=live)()
    before = {name: weight.clone() for name, weight in own_weights(inputs).items()}
    first_steps(subject.trainer(), lambda: inputs)
    for name, weight in own_weights(inputs).items():
        kind = "live" if live else "frozen"
        assert_close(weight, before[name], what=f"the teacher's weight {name!r}", given={"teacher": kind})


@pytest.mark.requirement("TRAIN-017")
def test_scores_that_carry_a_graph(subject: Subject) -> None:
    """The teacher's scores are attached to the student and to a number of the teacher's own."""
    seed = repeated_seed(0)
    words = "the teacher's scores carry the student's graph"
    _compare_two(
        subject, Ragged(seed), Ragged(seed, graph=True), words, "M531 gradient flows through the teacher's scores"
    )


@pytest.mark.requirement("TRAIN-018")
@pytest.mark.parametrize("micro_batches", [2, 4, 8])
def test_micro_batches(subject: Subject, micro_batches: int) -> None:
    """Each optimiser step in several backward passes."""
    inputs, asked = Ragged(repeated_seed(0)), Asked(micro_batches=micro_batches)
    found = first_steps(subject.trainer(), inputs, asked)
    given = {**RAGGED, "micro_batches": micro_batches, "accumulation": subject.profile.accumulation}
    compare_gradient(found, inputs, subject.profile, asked, given=given)
    compare_steps(found, inputs, subject.profile, asked, given=given)


@pytest.mark.requirement("TRAIN-019")
@pytest.mark.parametrize("optimizer_steps", [2, 4])
def test_optimizer_steps(subject: Subject, optimizer_steps: int) -> None:
    """Each call in several optimiser steps, under a teacher that stays where it is."""
    inputs, asked = Ragged(repeated_seed(0), live=False), Asked(optimizer_steps=optimizer_steps)
    found = first_steps(subject.trainer(), inputs, asked)
    compare_steps(found, inputs, subject.profile, asked, given={**RAGGED, "optimizer_steps": optimizer_steps})


@pytest.mark.requirement("TRAIN-020")
@pytest.mark.parametrize("kl_weight", [1.0, 0.1])
def test_penalty(subject: Subject, kl_weight: float) -> None:
    """One call on every completion of a policy without preferences."""
    inputs, asked = Enumerated(repeated_seed(0)), Asked(kl_weight=kl_weight)
    found = first_steps(subject.trainer(), inputs, asked, calls=1)
    given = {"rollouts": "every completion once", "kl_weight": kl_weight}
    compare_gradient(found, inputs, subject.profile, asked, given=given)
    compare_steps(found, inputs, subject.profile, asked, given=given)


@pytest.mark.requirement("TRAIN-020")
@pytest.mark.needs("trainer.kl_penalty", "trainer.micro_batches")
@pytest.mark.parametrize("micro_batches", [3, 6])
def test_penalty_in_micro_batches(subject: Subject, micro_batches: int) -> None:
    """The same in several backward passes of equally many tokens."""
    inputs, asked = Enumerated(repeated_seed(0)), Asked(kl_weight=1.0, micro_batches=micro_batches)
    found = first_steps(subject.trainer(), inputs, asked, calls=1)
    given = {"rollouts": "every completion once", "kl_weight": 1.0, "micro_batches": micro_batches}
    compare_gradient(found, inputs, subject.profile, asked, given=given)
    compare_steps(found, inputs, subject.profile, asked, given=given)


def _compare_hybrid(subject: Subject, inputs: MakeInputs, hybrid: Hybrid, given: Mapping[str, object]) -> None:
    """A hybrid trainer's first gradient and first three calls are those that are written out."""
    options = {"reward_weight": hybrid.reward_weight, "gated": hybrid.gated}
    made, way = subject.trainer("hybrid_trainer"), Way(slope=hybrid, weigh=of_all_sampled)
    found = first_steps(lambda policy, teacher, **asked: made(policy, teacher, **asked, **options), inputs)
    compare_gradient(found, inputs, subject.profile, given={**given, **options}, way=way)
    compare_steps(found, inputs, subject.profile, given={**given, **options}, way=way)


def _mixing_advantages(subject: Subject, not_applicable: Callable[[str], NoReturn]) -> None:
    if subject.profile.hybrid != "advantage":
        not_applicable("a hybrid that mixes losses may use any support")


@pytest.mark.requirement("TRAIN-040")
@pytest.mark.parametrize("reward_weight", [0.9, 0.35, 1.0, 0.0])
@pytest.mark.parametrize("world", [SmallStudy, Ragged])
def test_hybrid_calls(
    subject: Subject,
    not_applicable: Callable[[str], NoReturn],
    world: Callable[[int], MakeInputs],
    reward_weight: float,
) -> None:
    """Both worlds, at several weights, without a gate."""
    _mixing_advantages(subject, not_applicable)
    given = RAGGED if world is Ragged else STUDY
    _compare_hybrid(subject, world(repeated_seed(0)), Hybrid(reward_weight, gated=False), given)


@pytest.mark.requirement("TRAIN-040")
@pytest.mark.parametrize("garbage", [-40.0, float("nan")])
def test_hybrid_where_nothing_counts(
    subject: Subject, not_applicable: Callable[[str], NoReturn], garbage: float
) -> None:
    """The teacher's scores behind the mask and in rows without feedback may be anything; ids of padding as well."""
    _mixing_advantages(subject, not_applicable)
    inputs = Ragged(repeated_seed(0), garbage=garbage, padding=(-100, 10**6, -1))
    _compare_hybrid(subject, inputs, Hybrid(0.35, gated=False), {**RAGGED, "scores where nothing counts": garbage})


@pytest.mark.requirement("TRAIN-041")
@pytest.mark.parametrize("reward_weight", [0.9, 0.0])
@pytest.mark.parametrize("world", [SmallStudy, Ragged])
def test_gated_hybrid_calls(
    subject: Subject,
    not_applicable: Callable[[str], NoReturn],
    world: Callable[[int], MakeInputs],
    reward_weight: float,
) -> None:
    """Both worlds, in which gates of some groups are open and of others closed."""
    _mixing_advantages(subject, not_applicable)
    given = RAGGED if world is Ragged else STUDY
    _compare_hybrid(subject, world(repeated_seed(0)), Hybrid(reward_weight, gated=True), given)
