"""The Python helper for JSON lines: what it reads and writes, and the examples that use it."""

import io
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from sdpo_ref import sdpo_loss
from sdpo_ref._resources import content
from sdpo_ref.types import FULL, Support
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.engine import verify
from sdpo_ref.verification.entry.json_lines import program_name
from sdpo_ref.verification.entry.json_lines.parts import Parts
from sdpo_ref.verification.entry.json_lines.program import Program
from tests.json_schema import violations
from tests.verification.entry.test_json_lines import BATCH, CALLS, SCHEMA

FOLDER = content("conformance") / "json-lines" / "example"
Serve = Callable[..., None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """The helper, imported as a program beside it does."""
    monkeypatch.syspath_prepend(str(FOLDER))
    served: Serve = import_module("sdpo_lines").serve
    return served


class Here(Program):
    """A program of this process: the helper answers from text to text."""

    def __init__(self, serve: Serve, **operations: object) -> None:
        self.answers: list[dict[str, Any]] = []
        self._serve, self._operations = serve, operations

    def call(self, op: str, arguments: Any, *, gradient: bool = False) -> Any:
        """One line in, one line out, which follows the schema."""
        request = {"id": 7, "op": op, "arguments": arguments, "gradient": gradient}
        target = io.StringIO()
        self._serve(["loss"], source=[json.dumps(request)], target=target, **self._operations)
        answer = json.loads(target.getvalue())
        assert list(violations(answer, SCHEMA)) == []
        self.answers.append(answer)
        return answer.get("result")


def test_it_introduces_itself(serve: Serve) -> None:
    """The first answer holds what is offered, and follows the schema."""
    target = io.StringIO()
    serve(["loss"], name="Mine", source=['{"id": 0, "op": "hello", "protocol": 1}'], target=target)
    answer = json.loads(target.getvalue())
    assert answer["result"] == {"protocol": 1, "name": "Mine", "capabilities": ["loss"], "profile": "paper"}
    assert list(violations(answer, SCHEMA)) == []


def test_tensors_and_numbers_arrive_as_they_were(serve: Serve) -> None:
    """Every dtype, infinities, and a text that looks like a number where a text is meant."""
    seen: dict[str, Any] = {}

    def loss(**arguments: Any) -> np.floating[Any]:
        seen.update(arguments)
        return np.float32(0.5)

    half = random_batch(3, dtype=torch.bfloat16)
    batch = replace(BATCH, teacher_logits=half.teacher_logits, behaviour_log_probs=None)
    value = Parts(Here(serve, loss=loss)).loss(
        batch, alpha=0.25, support=Support("top_k_tail", 3), temperature=torch.inf, ratio_cap=None
    )
    assert value.dtype is torch.float32
    assert seen["temperature"] == np.inf
    assert (seen["support"].kind, seen["support"].k) == ("top_k_tail", 3)
    got = seen["batch"]
    assert got.student_logits.dtype == np.float64
    assert np.array_equal(got.student_logits, BATCH.student_logits.numpy())
    assert np.array_equal(got.teacher_logits, half.teacher_logits.float().numpy())
    assert got.completion_mask.dtype == np.bool_
    assert got.behaviour_log_probs is None


def test_a_text_stays_a_text(serve: Serve) -> None:
    """A demonstration that reads "inf" is no number, and messages come back as they went."""

    def context(prompt: Any, demonstration: str) -> list[dict[str, str]]:
        return [
            *({"role": it.role, "content": it.content} for it in prompt),
            {"role": "user", "content": demonstration},
        ]

    found = CALLS["demonstration_context"](Parts(Here(serve, demonstration_context=context)))
    assert found[-1] == {"role": "user", "content": "inf"}


def test_what_is_raised_says_which_answer(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """A ValueError refuses, NotImplementedError does not offer, anything else ends the program; prints go elsewhere."""

    def refusing(**_arguments: object) -> object:
        print("a progress bar")  # noqa: T201 - what a library does
        raise ValueError("alpha = 2")

    def missing(**_arguments: object) -> object:
        raise NotImplementedError("no mixture")

    program = Here(serve, trust_region=refusing, implicit_reward=missing, defaults=lambda: 1 // 0)
    program.call("trust_region", {})
    program.call("implicit_reward", {})
    program.call("low_rank_average", {})
    assert program.answers == [
        {"id": 7, "error": "alpha = 2"},
        {"id": 7, "unsupported": "no mixture"},
        {"id": 7, "unsupported": "low_rank_average"},
    ]
    assert "a progress bar" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        program.call("defaults", {})


def test_the_example_is_the_loss_with_its_gradient(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy by hand and the reference agree, also where a token is excluded on both sides."""
    example = import_module("numpy_loss")
    batch = on_policy(random_batch(5))
    batch.student_logits[..., 3] = batch.teacher_logits[..., 3] = -torch.inf
    logits = batch.student_logits.requires_grad_()
    options: Any = {"alpha": 1.0, "support": FULL, "temperature": 1.0, "ratio_cap": None}
    here = sdpo_loss(batch, alpha=1.0)
    there = Parts(Here(serve, loss=example.loss)).loss(batch, **options)
    torch.testing.assert_close(there, here, rtol=1e-12, atol=0.0)
    gradients = [torch.autograd.grad(it, logits)[0] for it in (there, here)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize(
    "example",
    [
        "numpy_loss.py",
        pytest.param("jax_loss.py", marks=pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")),
    ],
)
def test_the_examples_pass(example: str) -> None:
    """Masks, aggregation, gradients and half precision, from a program of its own."""
    command = shlex.join([sys.executable, str(FOLDER / example)])
    report = verify(program_name(command, call_limit=60.0), only=["LOSS-05", "LOSS-06", "LOSS-09"], jobs=1)
    assert report.verdict.exit_code == 0, str(report)
