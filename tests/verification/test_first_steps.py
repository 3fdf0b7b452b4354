"""A trainer's first calls tell right from wrong, and what is wrong by its name, in milliseconds."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from sdpo_ref.bundled import make
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.types import Aggregation
from sdpo_ref.verification.checks.first_steps import (
    NEAR,
    Asked,
    MakeInputs,
    Ragged,
    SmallStudy,
    Steps,
    compare_gradient,
    compare_steps,
    first_steps,
    written_out_steps,
)
from sdpo_ref.verification.checks.mismatch import Mismatch
from sdpo_ref.verification.checks.written_out import Way
from sdpo_ref.verification.checks.wrong_ways import WRONG_WAYS
from tests.verification.trainers import RIGHT, WRONG, Plain, Stronger

WORLDS: Mapping[str, MakeInputs] = {"study": SmallStudy(), "ragged": Ragged()}
PAPER = Profile()


def refusal(found: Steps, world: MakeInputs, profile: Profile = PAPER) -> Mismatch | None:
    """With which a check refuses a trainer, if one does."""
    try:
        compare_gradient(found, world, profile, given={})
        compare_steps(found, world, profile, given={})
    except Mismatch as mismatch:
        return mismatch
    return None


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:The .grad attribute")  # of torch.compile
@pytest.mark.parametrize("trainer", RIGHT, ids=lambda it: it.__name__)
@pytest.mark.parametrize("world", WORLDS)
def test_right_trainers_pass(trainer: type[Plain], world: str) -> None:
    """However the gradient and the update are made."""
    assert refusal(first_steps(trainer, WORLDS[world]), WORLDS[world]) is None


@pytest.mark.parametrize("id_", WRONG)
def test_wrong_trainers_are_refused_by_name(id_: str) -> None:
    """In the first world that refuses it, and never called another; what garbage reaches may have no name."""
    found = [refusal(first_steps(WRONG[id_], world), world) for world in WORLDS.values()]
    names = [one.looks_like for one in found if one is not None]
    assert names[0] == f"{id_} {WRONG_WAYS[id_].wrong}"
    assert set(names) <= {names[0], ""}


@pytest.mark.parametrize("id_", WRONG_WAYS)
def test_a_known_way_is_like_itself(id_: str) -> None:
    """Each known wrong way is refused in one world or in a check of its own, and is not called another."""
    found = [refusal(written_out_steps(world, PAPER, WRONG_WAYS[id_].way), world) for world in WORLDS.values()]
    assert [one.looks_like for one in found if one is not None and not one.looks_like.startswith(id_)] == []
    assert any(found) or id_ in {"M546", "M547"}, "NaN behind the mask and large gradients have checks of their own"


def test_what_is_between_is_called_near_and_what_is_far_is_not_named() -> None:
    """A teacher .5 times as strong is near one .3 times as strong; noise is like nothing."""

    class Half(Stronger):
        factor = 0.4

    near = refusal(first_steps(Half, SmallStudy()), SmallStudy())
    assert near is not None
    assert near.looks_like.startswith("nearest: M507")
    assert "cosine 1.0000, size 0.4" in near.got

    class Noise(Plain):
        def mean(self, tokens: torch.Tensor, counts: torch.Tensor, judgement: Any) -> torch.Tensor:
            noise = torch.randn(self.policy.table.shape, generator=torch.Generator().manual_seed(self.calls))
            return (noise * self.policy.table).sum() + 0 * super().mean(tokens, counts, judgement)

    far = refusal(first_steps(Noise, SmallStudy()), SmallStudy())
    assert far is not None
    assert far.looks_like == ""
    assert 0 < NEAR < 1


def test_a_large_gradient_that_is_cut_is_called_so() -> None:
    """A norm of one is a common default; the first gradient of a far teacher is above ten."""

    class Cut(Plain):
        def step(self, rollouts: Any, judgement: Any) -> None:
            self.optimizer.zero_grad()
            self.loss(rollouts, judgement).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
            self.optimizer.step()

    far = Ragged(distance=200.0)
    wanted = written_out_steps(far, PAPER).gradient
    assert wanted is not None
    assert float(wanted.norm()) > 10
    found = refusal(first_steps(Cut, far), far)
    assert found is not None
    assert found.looks_like.startswith("M547")
    assert refusal(first_steps(Plain, far), far) is None


def test_a_late_difference_says_from_when_on() -> None:
    """A teacher one call late is right at first; the words say so."""
    found = refusal(first_steps(WRONG["M502"], SmallStudy()), SmallStudy())
    assert found is not None
    assert "after call 2" in found.got
    assert "equal until then" in found.got


def test_a_policy_that_is_not_finite_is_refused() -> None:
    """NaN is neither above nor below any tolerance."""

    class Broken(Plain):
        def mean(self, tokens: torch.Tensor, counts: torch.Tensor, judgement: Any) -> torch.Tensor:
            return super().mean(tokens, counts, judgement) * torch.nan

    found = refusal(first_steps(Broken, SmallStudy()), SmallStudy())
    assert found is not None
    assert "not finite" in found.got
    assert found.looks_like == ""


@pytest.mark.parametrize("aggregation", ["token_mean", "row_mean", "row_mean_all", "row_sum", "time_normalized_sum"])
def test_each_aggregation_is_its_own(aggregation: Aggregation) -> None:
    """The reference under an aggregation has its steps, and not those of another."""

    def trainer(policy: Any, teacher: Any, *, learning_rate: float) -> SdpoTrainer:
        optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
        return SdpoTrainer(policy, teacher, optimizer, aggregation=aggregation)

    found = first_steps(trainer, Ragged())
    assert refusal(found, Ragged(), Profile(aggregation=aggregation)) is None
    other: Aggregation = "row_mean" if aggregation == "token_mean" else "token_mean"
    assert refusal(found, Ragged(), Profile(aggregation=other)) is not None


@pytest.mark.parametrize("asked", [Asked(optimizer_steps=3), Asked(micro_batches=3), Asked(kl_weight=0.3)])
def test_the_written_out_trainer_is_the_reference(asked: Asked) -> None:
    """With every option, in both worlds; the slack that epsilon gives is small beside what a call does."""
    for world in WORLDS.values():
        found, wanted = first_steps(make().trainer, world, asked), written_out_steps(world, PAPER, asked=asked)  # type: ignore[attr-defined]
        assert float((found.moved - wanted.moved).abs().max()) < 1e-12
        slack = written_out_steps(world, PAPER, Way(epsilon=1e-5), asked).moved - wanted.moved
        assert float(slack.norm() / wanted.moved.norm()) < 0.03


def test_the_readmes_trainer_is_right() -> None:
    """In both worlds, under NaN where nothing counts, and without a usable row."""
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n# my_trainer\.py\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    space: dict[str, Any] = {}
    exec(block, space)  # noqa: S102 - our own page
    trainer = space["make"]().trainer
    worlds: tuple[MakeInputs, ...] = (*WORLDS.values(), Ragged(garbage=math.nan))
    for world in worlds:
        assert refusal(first_steps(trainer, world), world) is None
    assert not first_steps(trainer, Ragged(usable=False), calls=1).moved.any()
