"""The bundled implementations: which functions they call."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdpo_ref import bundled
from sdpo_ref.bundled import Losses, Reference, make
from sdpo_ref.losses import sdpo_loss
from sdpo_ref.protocols.profile import PROFILES
from sdpo_ref.types import FULL, DistillationBatch, Support
from sdpo_ref.verification.checks.inputs import every_row, on_policy, random_batch
from tests.commands import sdpo_ref


@pytest.mark.parametrize("profile", PROFILES)
def test_chunked_answers_as_the_reference(profile: str) -> None:
    """Divergence, loss, SDFT and hybrid of every profile, value and gradient."""
    batch = every_row(random_batch(0))
    rewards, group_ids = torch.tensor([1.0, 0.0, 0.5, 0.2]), torch.tensor([0, 0, 1, 1])
    support = Support("sampled_token")
    for part in ("divergence", "loss", "sdft", "hybrid"):
        found = []
        for subject in (bundled.chunked(profile), make(profile)):
            student = batch.student_logits.clone().requires_grad_()
            ready = replace(batch, student_logits=student)
            value = {
                "divergence": lambda ready=ready, subject=subject: subject.divergence(
                    ready.student_logits.log_softmax(-1),
                    ready.teacher_logits.log_softmax(-1),
                    alpha=0.3,
                    support=Support("top_k_tail", 3),
                ).sum(),
                "loss": lambda ready=ready, subject=subject: subject.loss(
                    ready, alpha=0.3, support=Support("top_k_tail", 3), temperature=0.5, ratio_cap=None
                ),
                "sdft": lambda ready=ready, subject=subject: subject.sdft_loss(
                    ready, alpha=0.0, support=FULL, skip_tokens=1
                ),
                "hybrid": lambda ready=ready, subject=subject: subject.hybrid_loss(
                    ready, rewards, group_ids, reward_weight=0.3, support=support
                ),
            }[part]()
            found.append((value.detach(), *torch.autograd.grad(value, student)))
        for ours, expected in zip(*found, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-13)


def test_the_loss_that_is_given_is_the_one_that_is_called() -> None:
    """Loss, SDFT and a hybrid of losses go through it; a hybrid of advantages has no such loss."""
    calls: list[str] = []

    def counting(batch: DistillationBatch, **options: object) -> torch.Tensor:
        calls.append(str(options["aggregation"]))
        return sdpo_loss(batch, impl="chunked", **options)  # type: ignore[arg-type]

    subject = Reference("trl-sdpo", losses=Losses("counting", bundled.chunked().divergence, counting))  # type: ignore[arg-type]
    batch = on_policy(every_row(random_batch(0)))
    subject.loss(batch, alpha=1.0, support=FULL, temperature=1.0, ratio_cap=None)
    subject.sdft_loss(batch, alpha=1.0, support=FULL, skip_tokens=0)
    subject.hybrid_loss(batch, torch.ones(4), torch.zeros(4).long(), reward_weight=0.5, support=FULL)
    assert calls == ["row_mean_all"] * 3
    assert subject.name == "sdpo-ref counting"


MUTANT = """
from pathlib import Path

from sdpo_ref import FULL, bundled
from sdpo_ref.mutants.plant import altered_reference
from sdpo_ref.verification.checks.inputs import random_batch

batch, options = random_batch(0), {"alpha": 0.0, "support": FULL, "temperature": 1.0, "ratio_cap": None}
file, line = "losses/chunked/supports.py", "        return value, _balanced_(torch.sub(p, q, out=q), p)\\n"
source = (Path(bundled.__file__).parent / file).read_text(encoding="utf-8")
assert source.count(line) == 1
right = bundled.chunked()
mutant = altered_reference(file, source.replace(line, line.replace("return value", "return 2.0 * value")))
expected = float(right.loss(batch, **options))
assert abs(float(mutant.loss(batch, **options)) - 2.0 * expected) < 1e-12 * expected
assert float(right.loss(batch, **options)) == float(bundled.chunked().loss(batch, **options)) == expected
"""


def test_a_mutant_of_the_chunked_loss_is_one() -> None:
    """The altered file computes the mutant's loss, and that of no other implementation.

    In a process of its own: beartype takes two classes of one name for the same, as they are after an import.
    """
    done = subprocess.run([sys.executable, "-c", MUTANT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_suite_of_levels_0_and_1_finds_nothing_in_the_chunked_loss() -> None:
    """As a user calls it."""
    done = sdpo_ref("verify", "sdpo_ref.bundled:chunked", "--level", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "99 of 99 MUST passed" in done.stdout


IN_THE_INTERPRETER = """
import json

import hypothesis
from tests.losses.interpreter import patch_once
from sdpo_ref import verify
from sdpo_ref._resources import content

patch_once()
register = hypothesis.settings.register_profile
def with_fewer_examples(name, *arguments, **options):
    register(name, *arguments, **options | {"max_examples": 10})
type.__setattr__(hypothesis.settings, "register_profile", staticmethod(with_fewer_examples))
manifest = json.loads((content("conformance") / "manifest.json").read_text(encoding="utf-8"))
checks = {check for requirement in manifest["requirements"].values() for check in requirement["checks"]}
files = ("divergence", "importance", "sampled_token", "support", "vectors")
only = sorted(it for it in checks if it.startswith(tuple(f"loss/test_{file}.py" for file in files)))
print(verify("sdpo_ref.bundled:fused", only=only, level=1, in_process=True))
"""


@pytest.mark.slow
def test_the_suite_finds_nothing_in_the_fused_loss() -> None:
    """In Triton's interpreter, where float32 is a SHOULD not met (CONF-003).

    The checks of formulas, with 10 examples of a property (60 in a run by a user), in one process: the sizes of
    training take the interpreter an hour. What a mask, a dtype or a gradient does is in tests/losses.
    """
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_INTERPRETER],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "34 of 34 MUST passed" in done.stdout, done.stdout
