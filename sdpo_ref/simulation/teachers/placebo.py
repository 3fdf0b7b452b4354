"""Controls: teachers that read feedback without information about the attempt that they score (SIM-071, SIM-072).

What a method gains under a placebo does not come from feedback.
"""

import hashlib
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols import Policy
from sdpo_ref.simulation.world.world import random_stream
from sdpo_ref.teachers.weights import Conditioning
from sdpo_ref.types import Feedback, Judgement, Rollouts, TeacherView


@dataclass(frozen=True)
class ConstantFeedback:
    """Every attempt gets the same feedback and the same reward.

    A reader of ratings must then agree with the student exactly; a language model may still be moved by the words, but
    it learns nothing about any attempt. All ratings are one number: a rubric that praises one aspect and condemns
    another would be informative about the prompt.
    Implements: SIM-071.

    Attributes:
        inner: reads the constant judgement.
        feedback: on every rollout, also where the oracle gave none.
        reward: of every rollout; below the threshold of success nothing becomes a demonstration.

    Raises:
        InvalidInputError: if the ratings differ among themselves.
    """

    inner: Conditioning
    feedback: Feedback
    reward: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a placebo that is informative."""
        if len(set(self.feedback.ratings)) > 1:
            raise InvalidInputError(
                f"received the ratings {self.feedback.ratings}, allowed is one number throughout: ratings that differ "
                "say which part is better"
            )

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of the policy once it has read the placebo."""
        constant = Judgement(
            torch.full_like(judgement.rewards, self.reward), (self.feedback,) * len(judgement.feedback)
        )
        return self.inner.view(policy, rollouts, constant)


@dataclass(frozen=True)
class DerangedFeedback:
    """Every group reads the feedback of another group of the batch; the rewards stay.

    The derangement is a function of the seed and of the completions: two teachers that look at the same rollouts, or
    one that looks twice, see the same swap, and no step depends on how often it was computed before.
    Implements: SIM-072.

    Attributes:
        inner: reads the swapped judgement.
        seed: of the swap.
    """

    inner: Conditioning
    seed: int

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of the policy once it has read another prompt's feedback.

        Raises:
            InvalidInputError: if the batch has fewer than two groups.
        """
        group_ids = rollouts.prompts.group_ids
        generator = derangement_stream(self.seed, group_ids.tolist(), rollouts.completions.tolist())
        return self.inner.view(policy, rollouts, deranged(judgement, group_ids, generator=generator))


def derangement_stream(seed: int, group_ids: list[int], completions: list[list[int]]) -> torch.Generator:
    """The randomness of one swap.

    Args:
        seed: of the placebo.
        group_ids: of each rollout.
        completions: token ids of each rollout. Feedback does not enter, so that its rounding does not either.

    Returns:
        A generator at its beginning.
    """
    batch = hashlib.sha256(repr((group_ids, completions)).encode())
    return random_stream(seed, "derangement", batch.hexdigest())


def deranged(judgement: Judgement, group_ids: Int[Tensor, " rollout"], *, generator: torch.Generator) -> Judgement:
    """The judgement with the feedback of whole groups swapped.

    The i-th rollout of a group gets the feedback on the i-th rollout of the other group; if that one is smaller, it
    starts again at its first.
    Implements: SIM-072.

    Args:
        judgement: on all rollouts.
        group_ids: equal for rollouts of the same prompt.
        generator: of the swap.

    Returns:
        Rewards as they were, and feedback that no rollout's own group has earned.

    Raises:
        InvalidInputError: if there are fewer than two groups.

    Example:
        >>> judgement = Judgement(torch.zeros(2), (Feedback("on 7"), Feedback("on 9")))
        >>> [one.text for one in deranged(judgement, torch.tensor([7, 9]), generator=random_stream(0)).feedback]
        ['on 9', 'on 7']
    """
    names, group = torch.unique(group_ids, return_inverse=True)
    source: list[int] = derangement(len(names), generator=generator).tolist()
    members: list[list[int]] = [(group == index).nonzero()[:, 0].tolist() for index in range(len(names))]
    feedback = list(judgement.feedback)
    for rows, other in zip(members, (members[index] for index in source), strict=True):
        for place, row in enumerate(rows):
            feedback[row] = judgement.feedback[other[place % len(other)]]
    return replace(judgement, feedback=tuple(feedback))


def derangement(count: int, *, generator: torch.Generator) -> Int[Tensor, " count"]:
    """A permutation that leaves nothing in its place, all of them equally likely.

    Permutations are drawn until one has no fixed point; on average e of them, at any count.

    Args:
        count: how many things; at least 2.
        generator: of the permutations.

    Returns:
        For each place, the place that its new content comes from.

    Raises:
        InvalidInputError: if there is no other group to swap with.

    Example:
        >>> derangement(2, generator=torch.Generator())
        tensor([1, 0])
    """
    if count < 2:
        raise InvalidInputError(
            f"received {count} group(s); a swap that leaves nothing in place needs 2 or more prompts in a batch"
        )
    places = torch.arange(count)
    while True:
        order = torch.randperm(count, generator=generator)
        if not bool((order == places).any()):
            return order
