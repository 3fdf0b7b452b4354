"""The students of many runs, and Adam: parameters with a run axis, and a learning rate for each run."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.simulation.batched.runs import Run

_FIRST_MOMENT, _SECOND_MOMENT, _EPSILON = 0.9, 0.999, 1e-8
"""What ``torch.optim.Adam`` does by default, which is what the study uses."""


class Adam:
    """Adam for parameters whose first axis is the run; a run takes the steps that ``torch.optim.Adam`` would take.

    Args:
        parameters: updated in place.
        learning_rates: of each run.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rates: Float[Tensor, " run"]) -> None:
        self._parameters = parameters
        self._rates = learning_rates
        self._means = [torch.zeros_like(each) for each in parameters]
        self._squares = [torch.zeros_like(each) for each in parameters]
        self._steps = torch.zeros_like(learning_rates)
        self._spreads = [torch.empty_like(each) for each in parameters]
        self._moves = [torch.empty_like(each) for each in parameters]

    def step(self, gradients: Sequence[Tensor], stepping: Bool[Tensor, " run"] | None = None) -> None:
        """One step down the gradients.

        Args:
            gradients: of the parameters, in their order.
            stepping: False for runs that skip the step, which do not move; ``None`` for no such run.
        """
        if stepping is not None and not bool(stepping.all()):
            self._step_some(gradients, stepping)
            return
        self._steps += 1
        self._move(gradients)

    def _step_some(self, gradients: Sequence[Tensor], stepping: Bool[Tensor, " run"]) -> None:
        """Let all move, and put the others back."""
        moving = (*self._parameters, *self._means, *self._squares)
        before = [each.clone() for each in moving]
        self._steps += stepping
        self._move(gradients)
        for now, then in zip(moving, before, strict=True):
            now.copy_(torch.where(_per_run(stepping, now), now, then))

    def _move(self, gradients: Sequence[Tensor]) -> None:
        steps = self._steps.clamp_min(1)
        rates = -self._rates / (1 - _FIRST_MOMENT**steps)
        roots = (1 - _SECOND_MOMENT**steps).sqrt()
        for parameter, mean, square, spread, move, gradient in zip(
            self._parameters, self._means, self._squares, self._spreads, self._moves, gradients, strict=True
        ):
            mean.lerp_(gradient, 1 - _FIRST_MOMENT)
            square.mul_(_SECOND_MOMENT).addcmul_(gradient, gradient, value=1 - _SECOND_MOMENT)
            torch.sqrt(square, out=spread).div_(_per_run(roots, square)).add_(_EPSILON)
            torch.mul(mean, _per_run(rates, mean), out=move).div_(spread)
            parameter.add_(move)


class Students:
    r"""Tables, and combinations of features where the method's student has them.

    .. math::
        S_{xtv} = \theta_{xtv} + \sum_k c_{xk}\, \hat a_{tvk}

    Args:
        runs: with students of one kind.
        device: where the tensors live.

    Attributes:
        base: scores before any training.
        parameters: the table, and the combination if there are features; updated in place.
    """

    base: Float[Tensor, "run prompt time vocab"]

    def __init__(self, runs: Sequence[Run], device: torch.device) -> None:
        self.base = torch.stack([run.world.base_logits for run in runs]).to(device)
        self.parameters = [self.base.clone()]
        self._features: Float[Tensor, "run position aspect"] | None = None
        if runs[0].settings.method.student == "features":
            self._features = torch.stack([run.knowledge[0].loadings for run in runs]).flatten(1, 2).to(device)
            self.parameters.append(self.base.new_zeros(len(runs), self.base.shape[1], self._features.shape[-1]))
        rates = torch.tensor([run.settings.method.learning_rate for run in runs], dtype=torch.float64, device=device)
        self._adam = Adam(self.parameters, rates)

    def scores(self, parameters: Sequence[Tensor] | None = None) -> Float[Tensor, "run prompt time vocab"]:
        """Logits before the grammar, of the students or of other weights of the same kind.

        Args:
            parameters: such as a teacher's average; ``None`` for the students' own.
        """
        table, *combination = self.parameters if parameters is None else parameters
        if self._features is None:
            return table
        return table + torch.bmm(combination[0], self._features.mT).view_as(table)

    def descend(
        self, gradient: Float[Tensor, "run prompt time vocab"], stepping: Bool[Tensor, " run"] | None = None
    ) -> None:
        """One optimiser step.

        Args:
            gradient: of each run's loss in its scores.
            stepping: as for :meth:`Adam.step`.
        """
        gradients = [gradient]
        if self._features is not None:
            gradients.append(torch.bmm(gradient.flatten(2), self._features))
        self._adam.step(gradients, stepping)


def _per_run(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.view(-1, *[1] * (like.ndim - 1))
