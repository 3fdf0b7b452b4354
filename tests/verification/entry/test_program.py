"""A program that answers JSON lines: whatever it does, the caller gets a result, a refusal, or a clear error."""

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sdpo_ref._loading import parse
from sdpo_ref.errors import LoadError, UsageError
from sdpo_ref.types import FULL, Support
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError, NoAnswerError
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.entry.json_lines import make, program, program_name
from sdpo_ref.verification.entry.json_lines.lines import LONGEST_LINE

PROGRAM = """
import json, os, sys, time

def tensor(shape, data, dtype="float64"):
    return {"dtype": dtype, "shape": shape, "data": data}

def sum_of_students(request):
    student = request["arguments"]["student_log_probs"]
    width = student["shape"][-1]
    size = len(student["data"])
    sums = [sum(student["data"][at : at + width]) for at in range(0, size, width)]
    return {"value": tensor(student["shape"][:-1], sums), "gradient": tensor(student["shape"], [1.0] * size)}

def result(request, **changes):
    return json.dumps({"id": request["id"], "result": {**sum_of_students(request), **changes}})

def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def stop(code):
    sys.stderr.write("the reason is here")
    sys.stderr.flush()
    os._exit(code)

ANSWERS = {
    "good": lambda it: say(result(it) + chr(10)),
    "refuses": lambda it: say(json.dumps({"id": it["id"], "error": "alpha is odd"}) + chr(10)),
    "lacks": lambda it: say(json.dumps({"id": it["id"], "unsupported": "not yet"}) + chr(10)),
    "float32": lambda it: say(result(it, value=tensor([1], [0.5], "float32")) + chr(10)),
    "talks": lambda it: (sys.stderr.write("thinking about it"), sys.stderr.flush(), say(result(it) + chr(10))),
    "hangs": lambda it: time.sleep(60),
    "deaf": lambda it: time.sleep(60),
    "leaves": lambda it: stop(0),
    "dies": lambda it: os.kill(os.getpid(), 9),
    "closes": lambda it: (os.close(1), time.sleep(60)),
    "cut": lambda it: (say(result(it)[:20]), stop(3)),
    "garbage": lambda it: say("oops" + chr(27) + chr(10)),
    "not a number": lambda it: say(json.dumps({"id": it["id"], "result": {"value": float("nan")}}) + chr(10)),
    "huge": lambda it: [say("9" * 2**22) for _ in range(17)],
    "twice": lambda it: say((result(it) + chr(10)) * 2),
    "other id": lambda it: say(json.dumps({"id": it["id"] + 1, "error": "late"}) + chr(10)),
    "no id": lambda it: say(json.dumps({"error": "who"}) + chr(10)),
    "a list": lambda it: say("[1]" + chr(10)),
    "both": lambda it: say(json.dumps({"id": it["id"], "error": "e", "result": {}}) + chr(10)),
    "text": lambda it: say(json.dumps({"id": it["id"], "result": "fine"}) + chr(10)),
    "no value": lambda it: say(json.dumps({"id": it["id"], "result": {"valeu": 1}}) + chr(10)),
    "no tensor": lambda it: say(result(it, value=[0.5]) + chr(10)),
    "null": lambda it: say(result(it, value=tensor([1], [None])) + chr(10)),
    "value shape": lambda it: say(result(it, value=tensor([3], [1, 2, 3])) + chr(10)),
    "gradient shape": lambda it: say(result(it, gradient=tensor([3], [1, 2, 3])) + chr(10)),
    "gradient of integers": lambda it: say(result(it, gradient=tensor([1, 3], [1, 2, 3], "int64")) + chr(10)),
    "once": lambda it: ANSWERS["good" if os.path.exists(sys.argv[2]) else "first"](it),
    "first": lambda it: (open(sys.argv[2], "w").close(), stop(3)),
    "counts": lambda it: (open(sys.argv[2], "a").write("x"), stop(3)),
    "sleeps": lambda it: (open(sys.argv[2], "a").write("x"), time.sleep(60)),
}

HELLOS = {
    "no hello": lambda it: stop(0),
    "old": lambda it: {"protocol": 0, "capabilities": ["divergence"]},
    "silent": lambda it: time.sleep(60),
    "misspelt": lambda it: {"protocol": 1, "capabilities": ["divergence"], "nmae": "x"},
    "coarse": lambda it: {"protocol": 1, "capabilities": ["divergence"], "precision": "float16"},
    "no list": lambda it: {"protocol": 1, "capabilities": "divergence"},
    "nothing": lambda it: {"protocol": 1, "capabilities": []},
    "unknown": lambda it: {"protocol": 1, "capabilities": ["divergences"]},
    "beyond": lambda it: {"protocol": 1, "capabilities": ["divergence", "step"]},
    "profile": lambda it: {
        "protocol": 1, "capabilities": ["loss"], "name": "mine", "profile": {"aggregation": "row_mean"}
    },
}

mode = sys.argv[1]
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] != "hello":
        ANSWERS[mode](request)
        continue
    hello = HELLOS.get(mode, lambda it: {"protocol": 1, "capabilities": ["divergence"]})(request)
    say(json.dumps({"id": request["id"], "result": hello}) + chr(10))
    if mode == "deaf":
        time.sleep(60)
"""
"""A program whose first argument says how it behaves."""

Command = Callable[..., str]

CURRENT_CHECK = program._current_check

ROWS = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()


@pytest.fixture(autouse=True)
def as_impatient_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of an operation has no more time than the others."""
    monkeypatch.setattr(program, "FIRST_LIMIT", 0.0)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command of a program that behaves in some way; no check seems to run, so it is always asked again."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    monkeypatch.setattr(program, "_current_check", str)
    return lambda *words: shlex.join([sys.executable, "-S", str(file), *words])


def divergence(implementation: SimpleNamespace, student: Tensor = ROWS) -> Tensor:
    """The simplest question."""
    found: Tensor = implementation.divergence(student, ROWS, alpha=0.5, support=FULL)
    return found


def test_value_and_gradient_arrive(command: Command) -> None:
    """A value alone, a value with a gradient, upstream factors for each row, two backward passes through one graph."""
    implementation = make(command("good"))
    assert torch.equal(divergence(implementation), ROWS.sum(-1))
    student = ROWS.repeat(2, 1).requires_grad_()
    value = implementation.divergence(student, ROWS.repeat(2, 1), alpha=0.5, support=FULL)
    for _ in range(2):
        (gradient,) = torch.autograd.grad(value, student, torch.tensor([2.0, 3.0]).double(), retain_graph=True)
        assert torch.equal(gradient, torch.tensor([[2.0] * 3, [3.0] * 3]).double())


def test_it_cannot_be_differentiated_twice(command: Command) -> None:
    """A second derivative would silently be zero, so it raises."""
    student = ROWS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        (divergence(make(command("good")), student) ** 2).sum(), student, create_graph=True
    )
    with pytest.raises(RuntimeError, match="returned its gradient as numbers, which cannot be differentiated again"):
        torch.autograd.grad(gradient.sum(), student)


def test_a_refusal_is_an_error_of_the_caller(command: Command) -> None:
    """``error`` is a ValueError with the program's words, and it counts as a refusal."""
    implementation = make(command("refuses"))
    with pytest.raises(ValueError, match="alpha is odd"):
        divergence(implementation)
    refused = Subject(implementation).raises(
        "divergence", lambda it: it.divergence(ROWS, ROWS, alpha=2.0, support=FULL)
    )
    assert refused == "InvalidInputError: alpha is odd"


def test_what_is_not_offered_is_said_so(command: Command) -> None:
    """``unsupported`` is NotImplementedError, as from an implementation in Python."""
    with pytest.raises(NotImplementedError, match="not yet"):
        make(command("lacks")).divergence(ROWS, ROWS, alpha=0.5, support=Support("top_k_tail", 2))


def test_precision_is_told_from_the_answer(command: Command) -> None:
    """A program that answers in float32 is held to float32."""
    assert Subject(make(command("float32"))).precision is torch.float32


def test_what_it_prints_is_shown_with_the_check(command: Command, capfd: pytest.CaptureFixture[str]) -> None:
    """Standard error of the program is standard error of the call."""
    divergence(make(command("talks")))
    assert "thinking about it" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("hangs", r"it did not answer within 1 s"),
        ("leaves", r"it ended with exit code 0"),
        ("dies", r"it ended with signal SIGKILL"),
        ("closes", r"it closed its standard output"),
        ("cut", r"it ended with exit code 3, after a line without an end: '\{\"id\": 1, \"result\": '"),
        ("garbage", r"it wrote a line that is not JSON \(.*\): 'oops\\x1b'"),
        ("not a number", r'.* \(NaN is not a number in JSON; write "inf", "-inf" or "nan"'),
        ("other id", r"the answer to request 1 must have its id, received '\{\"id\": 2"),
        ("no id", r"the answer to request 1 must have its id"),
        ("a list", r"an answer holds id and one of result, error, unsupported, received '\[1\]'"),
        ("both", r"an answer holds id and one of result, error, unsupported"),
        ("text", r"result must be an object, received"),
        ("no value", r"the result must hold 'value', received \['valeu'\]"),
        ("no tensor", r"value: a tensor is an object with dtype, shape and data, received \[0\.5\]"),
        ("null", r'value: an element must be a number, "inf", "-inf" or "nan", received None'),
        ("gradient shape", r"gradient must be floating-point numbers of shape \[1, 3\], received .* of shape \[3\]"),
        ("gradient of integers", r"gradient must be floating-point numbers .* received torch.int64"),
    ],
)
def test_no_answer_is_an_error_that_says_what_came(command: Command, mode: str, message: str) -> None:
    """It names the part and what was received, and a check that waits for a refusal does not take it for one."""
    implementation = make(command(mode), call_limit=1.0 if mode == "hangs" else 30.0)
    with pytest.raises(NoAnswerError, match=f"divergence: {message}"):
        divergence(implementation, ROWS.clone().requires_grad_())
    with pytest.raises(NoAnswerError):
        Subject(implementation).raises(
            "divergence", lambda it: it.divergence_gradient(ROWS, ROWS, alpha=2.0, support=FULL)
        )


def test_a_value_of_another_shape_is_a_mismatch(command: Command) -> None:
    """As from an implementation in Python: shapes are checked before the checks see them."""
    refused = Subject(make(command("value shape"))).raises(
        "divergence", lambda it: it.divergence(ROWS, ROWS, alpha=0.5, support=FULL)
    )
    assert refused is None


def test_a_line_without_an_end_is_cut_off(command: Command) -> None:
    """A program that writes on and on does not fill the memory."""
    with pytest.raises(
        NoAnswerError, match=r"it wrote \d+ bytes without a line break: '9+' and \d+ more bytes"
    ) as caught:
        divergence(make(command("huge"), call_limit=30.0))
    assert int(caught.value.summary.split()[2]) < 2 * LONGEST_LINE


def test_a_program_that_does_not_read_costs_its_limit(command: Command) -> None:
    """A request larger than a pipe's buffer does not block for ever."""
    many = ROWS.repeat(20_000, 1)
    implementation = make(command("deaf"), call_limit=1.0)
    began = time.monotonic()
    with pytest.raises(NoAnswerError, match="did not answer within 1 s"):
        implementation.divergence(many, many, alpha=0.5, support=FULL)
    assert time.monotonic() - began < 30.0  # the program reads after 60


def test_a_line_that_nobody_asked_for_is_found(command: Command) -> None:
    """The second of two lines is not taken for the answer to the next request."""
    implementation = make(command("twice"))
    divergence(implementation)
    with pytest.raises(NoAnswerError, match=r"a line without a request: '\{\"id\": 1"):
        divergence(implementation)


def test_its_last_words_are_the_traceback(command: Command) -> None:
    """What it wrote to standard error before it ended is what its author needs."""
    with pytest.raises(ImplementationRaisedError) as caught:
        divergence(make(command("leaves")))
    assert caught.value.traceback == "the reason is here"


def test_a_new_process_answers_the_next_call(command: Command, tmp_path: Path) -> None:
    """One crash costs one call."""
    implementation = make(command("once", str(tmp_path / "crashed")))
    with pytest.raises(NoAnswerError, match="exit code 3"):
        divergence(implementation)
    assert torch.equal(divergence(implementation), ROWS.sum(-1))


def test_within_a_check_it_is_not_asked_again(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that has lost the program fails at once for its other inputs; the next check asks a new process."""
    monkeypatch.setattr(program, "_current_check", CURRENT_CHECK)
    asked = tmp_path / "asked"
    implementation = make(command("counts", str(asked)))
    for check, times in (("a.py::test_a (setup)", 1), ("a.py::test_a (call)", 1), ("a.py::test_b[x (y)] (call)", 2)):
        monkeypatch.setenv("PYTEST_CURRENT_TEST", check)
        for _ in range(3):
            with pytest.raises(NoAnswerError, match="it ended with exit code 3"):
                divergence(implementation)
        assert asked.read_text() == "x" * times


def test_patience_ends(command: Command, tmp_path: Path) -> None:
    """After three silences an operation is not called any more; an end costs little, so it may come again and again."""
    for mode, times, message in (("sleeps", 3, "not called any more: it did not answer"), ("counts", 5, "exit code 3")):
        asked = tmp_path / mode
        implementation = make(command(mode, str(asked)), call_limit=1.0)
        for _ in range(4):
            with pytest.raises(NoAnswerError):
                divergence(implementation)
        with pytest.raises(NoAnswerError, match=message):
            divergence(implementation)
        assert asked.read_text() == "x" * times


@pytest.mark.parametrize(
    ("mode", "error", "message"),
    [
        (
            "no hello",
            LoadError,
            r"it ended with exit code 0 \(it printed: the reason is here\); it must answer the line",
        ),
        ("silent", LoadError, r"it did not answer within 1 s; it must answer the line"),
        ("old", LoadError, r"its protocol is 0, supported is 1"),
        ("misspelt", LoadError, r"its hello holds nmae = 'x'; allowed are protocol, capabilities, name"),
        ("coarse", LoadError, r"its precision must be one of float64, float32, received 'float16'"),
        ("no list", LoadError, r"its capabilities must be a list of names, received 'divergence'"),
        ("nothing", LoadError, r"declares no capability; name what it offers"),
        ("unknown", UsageError, r"declares unknown capabilities \['divergences'\]; allowed are divergence, "),
        ("beyond", UsageError, r"declares step, which cannot be reached through JSON lines"),
    ],
)
def test_a_bad_introduction_is_refused(
    command: Command, monkeypatch: pytest.MonkeyPatch, mode: str, error: type[Exception], message: str
) -> None:
    """Before anything is judged, with what to do."""
    monkeypatch.setattr(program, "START_LIMIT", 1.0 if mode == "silent" else 30.0)
    with pytest.raises(error, match=message):
        make(command(mode), call_limit=1.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("there/is/no/program --serve", r"'there/is/no/program' cannot be started: No such file"),
        ("'unfinished", r"cannot be split into words: No closing quotation"),
        ("  ", r"the command is empty"),
    ],
)
def test_a_command_that_cannot_be_started_is_refused(words: str, message: str) -> None:
    """The message names the program."""
    with pytest.raises(LoadError, match=message):
        make(words)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_is_positive(limit: float) -> None:
    """Zero seconds are no time to answer."""
    with pytest.raises(UsageError, match="call_limit must be a positive number of seconds"):
        make("true", call_limit=limit)


def test_declarations_are_those_of_any_implementation(command: Command) -> None:
    """Name, profile and parts are attributes, and only declared parts are there."""
    implementation = make(command("profile"))
    assert (implementation.name, implementation.profile) == ("mine", {"aggregation": "row_mean"})
    assert callable(implementation.loss)
    assert not hasattr(implementation, "divergence")
    assert not hasattr(implementation, "precision")


@pytest.mark.parametrize(
    "words", ["./impl --serve", "a b,c=d, e=f", r"a 'b c' \, \\,x=1", "'quoted' \"doubly\"", "1", "[1, 2]", "näh ,x=\n"]
)
def test_any_command_can_be_part_of_a_name(words: str) -> None:
    """Commas, quotes, backslashes and numbers come out as they went in, and no option is made of them."""
    assert parse(program_name(words)).options == {"command": words}


def test_the_first_answer_of_an_operation_may_be_compiled(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has more time, and so it has again in a process that is new; later answers do not."""
    monkeypatch.setattr(program, "FIRST_LIMIT", 2.0)
    implementation = make(command("hangs"), call_limit=0.5)
    with pytest.raises(NoAnswerError, match="did not answer within 2 s"):
        divergence(implementation)
    assert program_name("x", call_limit=60.0) == f"{program_name('x')},call_limit=60"
