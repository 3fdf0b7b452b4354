"""Implementations with trainers as strangers write them, by name: each factory makes one."""

from collections.abc import Callable
from types import SimpleNamespace

from tests.verification.trainers import WRONG, ByHand, Plain


def _with(trainer: type[Plain]) -> Callable[[], SimpleNamespace]:
    return lambda: SimpleNamespace(trainer=trainer, capabilities={"trainer"})


class _Raising(Plain):
    def step(self, *_: object) -> None:
        raise ValueError("no feedback here")


right, by_hand, raising = _with(Plain), _with(ByHand), _with(_Raising)
policy_gradient, stronger = _with(WRONG["M533"]), _with(WRONG["M505"])
