"""The implicit reward and its identity (spec/04-loss, G)."""

import pytest
import torch
from torch import Tensor

from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.types import Prompts
from sdpo_ref.vectors.store import Vector
from sdpo_ref.verification.checks.comparison import assert_close
from sdpo_ref.verification.checks.inputs import input_generator, random_batch, vector_parameters
from sdpo_ref.verification.checks.subject import Subject


@pytest.mark.parametrize("vector", vector_parameters("implicit_reward", part="implicit_reward"))
def test_vectors(subject: Subject, vector: Vector) -> None:
    """Nats per rollout equal the derived ones."""
    names = ("conditioned_logits", "reference_logits", "completions", "completion_mask")
    assert_close(
        subject.implicit_reward(*(vector.inputs[name] for name in names)),
        vector.expected["value"],
        what="implicit reward in nats",
        relative=vector.tolerance.relative,
        absolute=vector.tolerance.absolute,
        given={"vector": vector.id, **vector.inputs},
        known_wrong=vector.known_wrong,
    )


@pytest.mark.requirement("LOSS-081")
def test_telescopes(subject: Subject) -> None:
    """A completion's reward is its first half's plus its second half's, the second scored after the first."""
    generator = input_generator(41)
    policy = PrefixSumPolicy.random(6, generator=generator)
    prompts, with_context = (
        Prompts(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool), torch.tensor([0]))
        for ids in ([1, 4], [1, 4, 3, 2])
    )
    completions = torch.randint(6, (1, 6), generator=generator)

    def reward(prefix: int, end: int) -> Tensor:
        """Of the tokens from ``prefix`` to ``end``, with those before them moved into the prompt."""
        part, mask = completions[:, prefix:end], torch.ones(1, end - prefix, dtype=torch.bool)
        conditioned, reference = (
            policy.logits(
                Prompts(
                    torch.cat([base.token_ids, completions[:, :prefix]], -1),
                    torch.ones(1, base.token_ids.shape[1] + prefix, dtype=torch.bool),
                    base.group_ids,
                ),
                part,
                mask,
            ).detach()
            for base in (with_context, prompts)
        )
        return subject.implicit_reward(conditioned, reference, part, mask)

    assert_close(
        reward(0, 6),
        reward(0, 3) + reward(3, 6),
        what="implicit reward in nats, from its parts,",
        relative=1e-10,
        given={"completions": completions, "cut at": 3},
    )


@pytest.mark.requirement("LOSS-082")
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e30])
def test_padding_has_no_probability(subject: Subject, poison: float) -> None:
    """Positions outside the mask add nothing, whatever they hold."""
    batch = random_batch(42)
    mask = batch.completion_mask
    clean = subject.implicit_reward(batch.teacher_logits, batch.student_logits, batch.completions, mask)
    dirty = subject.implicit_reward(
        torch.where(mask[..., None], batch.teacher_logits, poison),
        torch.where(mask[..., None], batch.student_logits, -poison),
        torch.where(mask, batch.completions, 0),
        mask,
    )
    assert_close(dirty, clean, what="implicit reward in nats", given={"logits outside the mask": poison})


@pytest.mark.requirement("LOSS-082")
def test_padding_beside_a_vocabulary_of_one(subject: Subject) -> None:
    """Where there is one token only, no other id may stand in at padded positions."""
    logits, mask = torch.ones(1, 2, 1, dtype=torch.float64), torch.tensor([[True, False]])
    found = subject.implicit_reward(logits, 2 * logits, torch.tensor([[0, 0]]), mask)
    assert_close(found, torch.zeros(1), what="implicit reward of a certain token", given={"vocab": 1})
