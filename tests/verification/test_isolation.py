"""What an untrusted implementation may do: no network, bounded memory and output, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from sdpo_ref.errors import LoadError
from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.report import Failure, Report
from sdpo_ref.verification.reports.terminal import print_report
from sdpo_ref.verification.status import Status
from tests.forked import started_anew
from tests.verification.hostile import HOSTILE

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds this")
MODULE = (sys.executable, "-P", "-m")
LITTER = "litter-of-sdpo-ref"


@pytest.fixture(scope="module", autouse=True)
def as_for_a_user() -> Iterator[None]:
    """A template would have imported PyTorch before it is isolated, which is what is tested here."""
    with started_anew():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with a home and a place for temporary files beside it."""
    root = tmp_path_factory.mktemp("isolation")
    for name in ("user", "home", "temporary"):
        (root / name).mkdir()
    (root / "user" / "hostile.py").write_text(HOSTILE)
    (root / "user" / "endless.py").write_text("while True:\n    pass\n")
    return root


@contextlib.contextmanager
def standing_in(place: Path) -> Iterator[None]:
    """The process's home and folders are those of the place."""
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(place / "user"):
        patch.setenv("HOME", str(place / "home"))
        patch.setenv("TMPDIR", str(place / "temporary"))
        patch.setattr("tempfile.tempdir", None)
        yield


@pytest.fixture(scope="module")
def report(place: Path, suite: Suite) -> Report:
    """The report on an implementation whose every part does some harm."""
    with standing_in(place):
        return verify("hostile:make", suite=suite, memory_limit=1.0, jobs=1)


def failure(report: Report, id_: str) -> Failure:
    """Of the first check of a requirement."""
    (found,) = [result for result in report.requirements if result.id == id_]
    assert found.status is Status.ERROR
    assert found.failure is not None
    return found.failure


def processes(command: str) -> list[str]:
    """Process ids whose command line is this."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if entry.read_bytes().replace(b"\0", b" ").decode().strip() == command:
                found.append(entry.parent.name)
    return found


def gone_soon(command: str) -> bool:
    """Whether no process with this command line is left after a moment."""
    deadline = time.monotonic() + 10.0
    while processes(command) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes(command)


@pytest.mark.slow
def test_the_network_is_refused_by_name(report: Report) -> None:
    """A connection to another machine is refused at once, with the reason."""
    assert "there is no network while an implementation is verified" in failure(report, "LOSS-004").message
    assert "'192.0.2.1'" in failure(report, "LOSS-004").message


def test_what_it_starts_has_no_network_either(report: Report) -> None:
    """A program without the refusal finds no other machine, where the system allows that."""
    if "namespace" not in report.isolation["network"]:
        pytest.skip(f"here: {report.isolation['network']}")
    assert "Network is unreachable" in failure(report, "LOSS-006").message


@pytest.mark.slow
@LINUX
def test_memory_runs_out_for_the_check_only(report: Report) -> None:
    """The message names the limit and the option; other checks go on."""
    message = failure(report, "TEACH-001").message
    assert "MemoryError" in message
    assert message.endswith("each process may use 1 GiB; if it needs more, raise --memory-limit")


def test_endless_printing_fills_no_disk(report: Report) -> None:
    """Output ends at the ceiling, and the report has the end of it."""
    found = failure(report, "TEACH-002")
    assert "File too large" in found.message
    assert found.message.endswith("a file, what is printed included, may grow to 256 MiB")
    assert len(found.output) < 3000


def test_nothing_is_left_behind(report: Report, place: Path) -> None:
    """Neither in the home, nor among temporary files, nor in shared memory, nor as bytecode."""
    assert [result.status for result in report.requirements if result.id == "TRAIN-001"] == [Status.PASS]
    assert list((place / "home").rglob("*")) == []
    assert list((place / "temporary").rglob("*")) == []
    assert sorted(path.name for path in (place / "user").rglob("*")) == ["endless.py", "hostile.py"]
    if report.isolation["processes"] == "what it starts ends with it":
        assert not Path("/dev/shm", LITTER).exists()  # noqa: S108 - where Linux keeps shared memory


def test_no_process_is_left_behind(report: Report) -> None:
    """Eight children that left their process group end all the same, where the system allows that."""
    if report.isolation["processes"] != "what it starts ends with it":
        for number in processes("sleep 86397"):
            os.kill(int(number), signal.SIGKILL)
        pytest.skip(f"here: {report.isolation['processes']}")
    assert gone_soon("sleep 86397")


def test_nothing_it_prints_controls_a_terminal(report: Report) -> None:
    """Escape sequences and markup in its name, its exception and its output are shown as what they are."""
    console = Console(width=80, record=True, force_terminal=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    print_report(console, report)
    console.file.close()
    text = console.export_text(styles=False)
    assert r"\x1b[2J[bold]evil[/bold] verified something else" in " ".join(text.split())
    assert r"ValueError('\x1b]0;owned\x07[red]raised[/red]\u202e')" in " ".join(text.split())
    assert r"\x1b[2J[bold]printed[/bold]" in text
    assert not {letter for letter in text if not letter.isprintable()} - {"\n"}


def test_the_report_has_the_isolation_in_force(report: Report) -> None:
    """Network, memory, size of files, processes and time."""
    assert report.isolation["network"].startswith("no network")
    assert report.isolation["files"] == "256 MiB a file"
    assert report.isolation["time"] == "60 s a check, 120 s to load"
    if sys.platform == "linux":
        assert report.isolation["memory"] == "1 GiB a process"


@pytest.mark.slow
def test_an_import_that_never_ends_is_refused(place: Path, suite: Suite) -> None:
    """The time limit is in force before a module is imported."""
    with standing_in(place), pytest.raises(LoadError, match="endless:make could not be loaded: it did not return"):
        verify("endless:make", suite=suite, start_limit=6.0)


def test_a_refusal_is_escaped_too(place: Path, suite: Suite) -> None:
    """The message of a factory that raises reaches the terminal spelled out."""
    with standing_in(place), pytest.raises(LoadError) as caught:
        verify("hostile:refuses", suite=suite, jobs=1)
    assert r"ValueError: \x1b[2Jno" in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "says"),
    [("hides", "exit code 3"), ("forges", "to where this suite counts its results")],
)
def test_neither_hidden_output_nor_forged_events(place: Path, suite: Suite, factory: str, says: str) -> None:
    """A pipe in place of the file of its output hangs nobody; a forged pass and a silent exit are no pass."""
    with standing_in(place):
        found = verify(f"hostile:{factory}", suite=suite, only=["LOSS-001"], jobs=1)
    assert found.verdict.exit_code == 1
    assert says in failure(found, "LOSS-001").message


@pytest.mark.slow
@LINUX
def test_a_runner_that_is_killed_leaves_nothing(place: Path, workplace: Path) -> None:
    """The process that waits for the worker sees it, removes the scratch folder and ends all, a stopped worker too."""
    with standing_in(place):
        runner = subprocess.Popen(
            [*MODULE, "sdpo_ref.cli.main", "verify", "hostile:waits", "--jobs", "1", "--suite", workplace / "suite"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60.0
        while not processes("sleep 86398") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes("sleep 86398")
        runner.kill()
        runner.wait()
    deadline = time.monotonic() + 10.0
    while list((place / "temporary").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list((place / "temporary").iterdir()) == []
    found = subprocess.run(
        [*MODULE, "sdpo_ref.verification.isolation.sandbox"], capture_output=True, text=True, check=False
    )
    if "what it starts ends with it\n" in found.stdout:
        assert gone_soon("sleep 86398")
    for number in processes("sleep 86398"):
        os.kill(int(number), signal.SIGKILL)
