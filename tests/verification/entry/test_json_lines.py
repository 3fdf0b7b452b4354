"""JSON lines from end to end: every part works through them, messages follow their schema, and faults are found."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from sdpo_ref._resources import content
from sdpo_ref.bundled import Reference, make
from sdpo_ref.protocols.parts import Attempt
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Support
from sdpo_ref.verification.checks.inputs import every_row, on_policy, random_batch
from sdpo_ref.verification.engine import verify
from sdpo_ref.verification.entry.json_lines import program_name
from sdpo_ref.verification.entry.json_lines.parts import REACHABLE, Parts
from sdpo_ref.verification.entry.json_lines.program import Program
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import PARTS
from tests.commands import sdpo_ref
from tests.json_schema import violations
from tests.verification.entry.serve_reference import reply

FOLDER = content("conformance") / "json-lines"
SCHEMA: dict[str, Any] = json.loads((FOLDER / "schema.json").read_text())

PROMPT = ({"role": "user", "content": "add 1, 2"},)
BATCH = random_batch(3)

CALLS: Mapping[str, Callable[[Any], Any]] = {
    "divergence": lambda it: it.divergence(
        BATCH.student_logits.log_softmax(-1), BATCH.teacher_logits.log_softmax(-1), alpha=0.25, support=FULL
    ),
    "loss": lambda it: it.loss(
        BATCH, alpha=0.25, support=Support("top_k_tail", 3), temperature=0.5, ratio_cap=2.0
    ),
    "sdft_loss": lambda it: it.sdft_loss(every_row(BATCH), alpha=0.0, support=FULL, skip_tokens=2),
    "hybrid_loss": lambda it: it.hybrid_loss(
        on_policy(BATCH), torch.tensor([1.0, 0.0, 0.5, 1.0]).double(), torch.tensor([0, 0, 1, 1]),
        reward_weight=0.5, support=SAMPLED_TOKEN,
    ),
    "implicit_reward": lambda it: it.implicit_reward(
        BATCH.teacher_logits, BATCH.student_logits, BATCH.completions, BATCH.completion_mask
    ),
    "completion_mask": lambda it: it.completion_mask(torch.tensor([[3, 9, 2], [1, 1, 1]]), end_ids=frozenset({2, 9})),
    "context": lambda it: it.context(
        [Attempt(0, PROMPT, "3", 1.0), Attempt(0, PROMPT, "4", 0.0, "too “much”\n")],
        ContextRules(success_threshold=-torch.inf, success_quantile=0.5, max_length=1000),
    ),
    "demonstration_context": lambda it: it.demonstration_context(PROMPT, "inf"),
    "trust_region": lambda it: it.trust_region(BATCH.teacher_logits, BATCH.student_logits, mix=0.3),
    "low_rank_average": lambda it: it.low_rank_average(
        [(torch.ones(2, 1).double() * scale, torch.ones(1, 3).double()) for scale in (1.0, 2.0)], update_rate=0.25
    ),
    "defaults": lambda it: it.defaults(),
}  # fmt: skip
"""One call of each part that can be reached."""


class Recorded(Program):
    """The reference without a process: every message is JSON, and is kept."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def call(self, op: str, arguments: Mapping[str, object], *, gradient: bool = False) -> Mapping[str, object]:
        """Ask the reference in this process."""
        asked = {"id": len(self.messages), "op": op, "arguments": arguments, "gradient": gradient}
        request = json.loads(json.dumps(asked, allow_nan=False))
        answer = json.loads(json.dumps({"id": request["id"], **reply(request)}, allow_nan=False))
        self.messages += [request, answer]
        result: Mapping[str, object] = answer["result"]
        return result


@pytest.fixture
def recorded() -> Recorded:
    """A program that remembers what was said."""
    return Recorded()


@pytest.mark.parametrize("part", CALLS)
def test_a_part_crosses_the_door(recorded: Recorded, part: str) -> None:
    """The answer through JSON is the answer without, to the last bit, and its messages follow the schema."""
    here, there = CALLS[part](make()), CALLS[part](Parts(recorded))
    if isinstance(here, torch.Tensor | list) and not hasattr(here[0] if isinstance(here, list) else None, "messages"):
        torch.testing.assert_close(there, here, rtol=0.0, atol=0.0)
    else:
        assert there == here
    assert [list(violations(message, SCHEMA)) for message in recorded.messages] == [[], []]


@pytest.mark.parametrize("part", ["loss", "sdft_loss", "hybrid_loss"])
def test_a_gradient_crosses_the_door(recorded: Recorded, part: str) -> None:
    """It is asked for because the student's logits want one, and arrives there."""
    logits = BATCH.student_logits
    try:
        logits.requires_grad_()
        (here,) = torch.autograd.grad(CALLS[part](make()), logits)
        (there,) = torch.autograd.grad(CALLS[part](Parts(recorded)), logits)
    finally:
        logits.requires_grad_(False)
    torch.testing.assert_close(there, here, rtol=0.0, atol=0.0)
    assert recorded.messages[0]["gradient"] is True
    assert [list(violations(message, SCHEMA)) for message in recorded.messages] == [[], []]


def test_every_part_is_accounted_for() -> None:
    """A part of an implementation is reachable, or the page says that it is not."""
    page = (FOLDER / "README.md").read_text()
    assert set(CALLS) == REACHABLE
    assert set(re.findall(r"^\| `(\w+)` \| (?:`|none)", page, re.MULTILINE)) == REACHABLE
    assert "`step`, `trainer` and `hybrid_trainer` are given live objects" in page
    assert "`hidden_loss` and `top_k_loss` have no operation" in page
    assert set(PARTS) - REACHABLE == {"step", "trainer", "hybrid_trainer", "hidden_loss", "top_k_loss"}


@pytest.mark.parametrize(
    "message",
    [
        {"id": 0, "op": "hello", "protocol": 2},
        {"id": -1, "error": "x"},
        {"id": 1, "error": "x", "unsupported": "y"},
        {"id": 1, "op": "defaults", "arguments": {}},
        {"id": 1, "op": "step", "arguments": {}, "gradient": False},
        {"id": 1, "op": "trust_region", "arguments": {"mix": "half"}, "gradient": False},
        {"id": 1, "result": {}},
        {"id": 1, "result": {"value": {"dtype": "float64", "shape": [1], "data": [None]}}},
        {"id": 1, "result": {"value": 0.5}},
        {"id": 0, "result": {"protocol": 1, "capabilities": ["loss"], "nmae": "x"}},
    ],
)
def test_the_schema_refuses(message: dict[str, Any]) -> None:
    """What is not accepted or sent is not a message of the schema."""
    assert list(violations(message, SCHEMA)) != []


def serve(node: str, folder: Path) -> str:
    """The command of the example in a copy of the content."""
    return shlex.join([node, str(folder / "json-lines" / "example" / "serve.mjs")])


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the examples, in which mistakes may be made."""
    for name in ("json-lines", "vectors"):
        shutil.copytree(content("conformance") / name / "example", tmp_path / name / "example")
    return tmp_path


@pytest.mark.slow
def test_the_example_passes_level_1(node: str, tmp_path: Path) -> None:
    """A program that is not Python passes every MUST of what it offers, from the command line."""
    command = [sys.executable, "-P", "-m", "sdpo_ref.cli.main", "verify", "--level", "1"]
    done = subprocess.run(
        [*command, "--cmd", serve(node, content("conformance"))],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(JavaScript example)" in " ".join(done.stdout.split())
    assert "56 of 56 MUST passed" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "only", "failing"),
    [
        (
            (
                "json-lines/example/serve.mjs",
                "const counts = (token) => batch.completion_mask.data[token] &&",
                "const counts = (token) => true ||",
            ),
            ("LOSS-001", "LOSS-050"),
            {"LOSS-050"},
        ),
        (
            (
                "vectors/example/divergence.mjs",
                "const ends = alpha === 0 ? kl(t, s) : kl(s, t);",
                "const ends = alpha === 0 ? kl(s, t) : kl(t, s);",
            ),
            ("LOSS-001", "LOSS-002", "LOSS-003", "LOSS-009"),
            {"LOSS-001", "LOSS-002"},
        ),
    ],
)
def test_a_mistake_is_found(
    node: str, copied: Path, mistake: tuple[str, str, str], only: tuple[str, ...], failing: set[str]
) -> None:
    """The requirements that it breaks fail, and no other."""
    file, right, wrong = mistake
    source = (copied / file).read_text()
    assert source.count(right) == 1
    (copied / file).write_text(source.replace(right, wrong))
    report = verify(program_name(serve(node, copied)), only=only)
    assert {entry.id for entry in report.of(Status.FAIL)} == failing
    assert {entry.id for entry in report.of(Status.PASS)} == set(only) - failing


@pytest.mark.slow
def test_a_crash_costs_its_own_check(node: str, copied: Path) -> None:
    """Refusing by ending is no refusal, the report says what happened, and the other checks are answered."""
    file = copied / "vectors/example/divergence.mjs"
    refusal = "throw new RangeError(`alpha must lie in [0, 1], received ${alpha}`)"
    assert file.read_text().count(refusal) == 1
    file.write_text(file.read_text().replace(refusal, "process.exit(9)"))
    report = verify(program_name(serve(node, copied)), only=("LOSS-001", "LOSS-009"))
    decided = {entry.id: entry for entry in report.requirements}
    assert (decided["LOSS-001"].status, decided["LOSS-009"].status) == (Status.PASS, Status.ERROR)
    failure = decided["LOSS-009"].checks[0].failure
    assert failure is not None
    assert failure.message == "divergence: it ended with exit code 9"


def test_wrong_calls_are_one_line(tmp_path: Path) -> None:
    """IMPL and --cmd together, and a program that is not there: exit code 2 and what to do."""
    for words, message in (
        (["my:make", "--cmd", "./impl"], "error: received both IMPL 'my:make' and --cmd './impl'; give one of them"),
        (["--cmd", "./impl, x=1", "--level", "0"], "error: ./impl, x=1: './impl,' cannot be started: No such file"),
    ):
        with contextlib.chdir(tmp_path):
            done = sdpo_ref("verify", *words)
        assert done.returncode == 2
        assert done.stderr.startswith(message), done.stderr
        assert done.stderr.count("\n") == 1


def test_the_reference_serves_what_it_is(recorded: Recorded) -> None:
    """The program of these tests is the bundled reference, so equality with it means something."""
    assert isinstance(make(), Reference)
    hello = reply({"id": 0, "op": "hello", "protocol": 1})
    assert list(violations({"id": 0, **hello}, SCHEMA)) == []
    assert recorded.messages == []
