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


def _written_out(conditioned: Tensor, reference: Tensor, completions: Tensor, mask: Tensor) -> Tensor:
    """The definition, for ids that are in range where they count."""
    ids = torch.where(mask, completions, 0)[..., None]
    shares = [side.double().log_softmax(-1).gather(-1, ids).squeeze(-1) for side in (conditioned, reference)]
    return torch.where(mask, shares[0] - shares[1], 0.0).sum(-1)


@pytest.mark.requirement("LOSS-082")
@pytest.mark.parametrize("token", [-100, 10**6])
def test_ids_of_padding(subject: Subject, token: int) -> None:
    """Padding may hold the usual ignore index, or any other id."""
    batch = random_batch(43)
    mask = batch.completion_mask
    sides = (batch.teacher_logits, batch.student_logits)
    assert_close(
        subject.implicit_reward(*sides, torch.where(mask, batch.completions, token), mask),
        _written_out(*sides, batch.completions, mask),
        what="implicit reward in nats",
        relative=1e-10,
        given={"id at padded positions": token},
    )


@pytest.mark.requirement("LOSS-082")
def test_holes_have_no_probability(subject: Subject) -> None:
    """The answers of a tool between sampled tokens add nothing."""
    batch = random_batch(44)
    mask = torch.ones_like(batch.completion_mask)
    mask[0, 2:4] = mask[1, 1] = mask[3, ::2] = False
    arguments = (batch.teacher_logits, batch.student_logits, batch.completions, mask)
    found, given = subject.implicit_reward(*arguments), {"completion_mask": mask}
    assert_close(found, _written_out(*arguments), what="implicit reward in nats", relative=1e-10, given=given)


@pytest.mark.requirement("LOSS-080")
@pytest.mark.parametrize(("rows", "time"), [(2, 35_000), (1_500, 47)])
def test_seventy_thousand_tokens(subject: Subject, rows: int, time: int) -> None:
    """Every row has its reward, and every token its share, however the batch is cut on the way."""
    generator = input_generator(45)
    one, other = torch.randn(2, rows, time, 3, generator=generator, dtype=torch.float64)
    completions = torch.randint(3, (rows, time), generator=generator)
    arguments = (one, other, completions, torch.ones(rows, time, dtype=torch.bool))
    assert_close(
        subject.implicit_reward(*arguments),
        _written_out(*arguments),
        what="implicit reward in nats",
        relative=1e-9,
        absolute=1e-9,
        given={"rollouts": rows, "tokens of each": time},
    )


@pytest.mark.requirement("LOSS-080")
def test_certain_tokens_count(subject: Subject) -> None:
    """A token that is certain under the context has log-probability zero, which is not the zero of padding."""
    conditioned = torch.tensor([[[0.0, -torch.inf], [1.0, 1.0]]], dtype=torch.float64)
    reference = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    arguments = (conditioned, reference, torch.zeros(1, 2).long(), torch.ones(1, 2).bool())
    found, given = subject.implicit_reward(*arguments), {"conditioned_logits": conditioned}
    assert_close(found, _written_out(*arguments), what="implicit reward in nats", relative=1e-10, given=given)


@pytest.mark.requirement("LOSS-007")
@pytest.mark.needs("implicit_reward")
def test_padded_vocabulary(subject: Subject) -> None:
    """Logits of minus infinity behind the vocabulary, on both sides, change nothing."""
    batch = random_batch(46)
    sides, mask = (batch.teacher_logits, batch.student_logits), batch.completion_mask
    one, other = (torch.cat([side, torch.full((4, 6, 3), -torch.inf).double()], -1) for side in sides)
    assert_close(
        subject.implicit_reward(one, other, batch.completions, mask),
        _written_out(*sides, batch.completions, mask),
        what="implicit reward in nats",
        relative=1e-10,
        given={"tokens without mass": 3},
    )


@pytest.mark.requirement("LOSS-121")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(subject: Subject, dtype: torch.dtype) -> None:
    """The reward of half-precision logits equals that of the same numbers in float64."""
    batch = random_batch(47, dtype=dtype, vocab=37)
    arguments = (batch.teacher_logits, batch.student_logits, batch.completions, batch.completion_mask)
    if subject.raises("implicit_reward", lambda it: it.implicit_reward(*arguments)) is not None:
        return
    assert_close(
        subject.implicit_reward(*arguments),
        _written_out(*arguments),
        what="implicit reward in nats",
        relative=1e-4,
        absolute=1e-4,
        given={"dtype": dtype, "vocab": 37},
    )
