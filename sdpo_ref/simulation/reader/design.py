"""What each rating is about: which positions, and which components of quality (SIM-062).

The reader's own picture of the five regimes. It agrees with the oracles' by definition and shares no code with them:
a teacher interprets ratings as its settings describe them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.settings import RegimeSettings

THUMB_STEP = 1.0
"""Distance between the two levels of the binary scale."""

LEVEL_STEP = 0.25
"""Distance between two levels of the ordinal scale."""

NUMBER_STEP = 0.01
"""Distance between two ratings that a text distinguishes: it states hundredths."""


@dataclass(frozen=True)
class Design:
    r"""The latent scores that are rated, as sums over a completion's tokens.

    .. math::
        h_{ij} = \sum_t g_{jt} \sum_c b_{jc}\, c_{t y_{it} c}

    A token's quality is the sum of its components: what each of the K aspects contributes, and the idiosyncratic rest.

    Attributes:
        positions: weight g of each position in each rating.
        components: weight b of each component in each rating; the last component is the rest.
        step: how finely the scale is divided.
    """

    positions: Float[Tensor, "rating time"]
    components: Float[Tensor, "rating component"]
    step: float


def whole(*, time: int, aspects: int, step: float = NUMBER_STEP) -> Design:
    """The latent score of the completion: every component of every token, over the root of the length.

    Args:
        time: tokens of a completion.
        aspects: number of aspects.
        step: how finely the scale is divided.

    Returns:
        A design of one rating.
    """
    ones = torch.ones(1, aspects + 1, dtype=torch.float64)
    return Design(torch.full((1, time), time**-0.5, dtype=torch.float64), ones, step)


def design_of(feedback: RegimeSettings, *, time: int, aspects: int) -> Design:
    r"""The ratings that a regime's feedback holds, in their order.

    .. math::
        \text{whole:}\ g_t = \frac{1}{\sqrt T}, b = 1 \qquad
        \text{aspect k:}\ g_t = \frac{K}{\sqrt T}, b_c = [c = k] \qquad
        \text{span s:}\ g_t = \frac{\sqrt T}{T_s} [t \in s], b = 1

    Binary, ordinal and scalar rate the whole, a rubric the whole and then each aspect, a critique each span.
    Implements: SIM-062.

    Args:
        feedback: the regime that the reader assumes.
        time: tokens of a completion.
        aspects: number of aspects.

    Returns:
        The design.

    Raises:
        InvalidInputError: if a critique has more spans than positions.

    Example:
        >>> design_of(RegimeSettings(regime="critique", spans=2), time=4, aspects=1).positions.tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    match feedback.regime:
        case "binary":
            return whole(time=time, aspects=aspects, step=THUMB_STEP)
        case "ordinal":
            return whole(time=time, aspects=aspects, step=LEVEL_STEP)
        case "scalar":
            return whole(time=time, aspects=aspects)
        case "rubric":
            overall = whole(time=time, aspects=aspects)
            parts = torch.eye(aspects, aspects + 1, dtype=torch.float64)
            by_aspect = (aspects * overall.positions).expand(aspects, -1)
            return Design(
                torch.cat([overall.positions, by_aspect]), torch.cat([overall.components, parts]), NUMBER_STEP
            )
        case "critique":
            return _critique(feedback.spans, time=time, aspects=aspects)


def _critique(spans: int, *, time: int, aspects: int) -> Design:
    if spans > time:
        raise InvalidInputError(f"spans must lie in [1, {time}], the positions of a completion, received {spans}")
    positions = torch.zeros(spans, time, dtype=torch.float64)
    for row, span in zip(positions, torch.tensor_split(torch.arange(time), spans), strict=True):
        row[span] = time**0.5 / len(span)
    return Design(positions, torch.ones(spans, aspects + 1, dtype=torch.float64), NUMBER_STEP)
