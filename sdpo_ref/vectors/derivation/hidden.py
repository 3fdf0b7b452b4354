"""The loss from hidden states (LOSS-130, LOSS-131): logits by sums over the hidden axis, and the chain rule back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpmath import mpf

from sdpo_ref.vectors.derivation.loss import AGGREGATIONS, Batch, LossOptions, loss_gradients, losses
from sdpo_ref.vectors.derivation.numbers import Row

States = Sequence[Sequence[Row]]
"""Hidden states, ``[rollout][time][hidden]``."""


@dataclass(frozen=True)
class HiddenSide:
    """Hidden states, and the head that makes logits of them."""

    hidden: States
    weight: Sequence[Row]
    bias: Row

    @property
    def logits(self) -> list[list[list[mpf]]]:
        """One sum for each token of the vocabulary."""
        return [
            [
                [
                    bias + sum((w * h for w, h in zip(row, state, strict=True)), mpf(0))
                    for row, bias in zip(self.weight, self.bias, strict=True)
                ]
                for state in states
            ]
            for states in self.hidden
        ]


def hidden_losses(
    student: HiddenSide,
    teacher: HiddenSide,
    masks: Sequence[Any],
    options: LossOptions,
) -> Mapping[str, Any]:
    """Under every aggregation: the value, and the gradients w.r.t. the student's hidden states, weight and bias.

    Args:
        student: its side.
        teacher: its side.
        masks: completions, completion mask and self-distillation mask.
        options: of the loss.
    """
    batch = Batch(student.logits, teacher.logits, *masks)
    values, slopes = losses(batch, options), loss_gradients(batch, options)
    vocab, width = range(len(student.weight)), range(len(student.weight[0]))
    positions = [(row, time) for row, states in enumerate(student.hidden) for time in range(len(states))]
    found: dict[str, Any] = {}
    for name in AGGREGATIONS:
        slope = slopes[name]
        found[f"value/{name}"] = values[name]
        found[f"gradient_hidden/{name}"] = [
            [[sum((at[v] * student.weight[v][h] for v in vocab), mpf(0)) for h in width] for at in row] for row in slope
        ]
        found[f"gradient_weight/{name}"] = [
            [sum((slope[r][t][v] * student.hidden[r][t][h] for r, t in positions), mpf(0)) for h in width]
            for v in vocab
        ]
        found[f"gradient_bias/{name}"] = [sum((slope[r][t][v] for r, t in positions), mpf(0)) for v in vocab]
    return found
