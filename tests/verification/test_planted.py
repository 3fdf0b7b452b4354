"""A stranger's copy of the reference with one wrong line: the report names the requirement of that line.

What is a mutant of its own, but for one, is left to `sdpo-ref selftest`; the others are only near to one.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import sdpo_ref

pytestmark = pytest.mark.slow

_PACKAGE = Path(sdpo_ref.__file__).parent
_DIVERGENCE = "functional/divergence.py"
_LOSS = "losses/reference.py"
_WRAPPER = """

def make():
    from types import SimpleNamespace

    from sdpo_ref.functional.support import on_support

    def divergence(student_log_probs, teacher_log_probs, *, alpha, support):
        cells = on_support(student_log_probs, teacher_log_probs, support=support, top_k_from="student")
        return generalized_jsd(*cells, alpha=alpha)

    return SimpleNamespace(divergence=divergence, loss=sdpo_loss)
"""


LONGEST = 160
"""Lines that a report on one wrong line may have."""


@dataclass(frozen=True)
class Slip:
    """One wrong line.

    Attributes:
        name: of the test.
        file: the file that is copied and altered.
        line: a piece of it, which stands there once.
        instead: what the stranger wrote.
        requirement: what that line implements, and one of the first two that the report shows.
        diagnosis: how the diagnosis begins; none where no known defect gives answers like these.
    """

    name: str
    file: str
    line: str
    instead: str
    requirement: str
    diagnosis: str | None


SLIPS = (
    Slip(
        "forward_and_reverse_swapped",
        _DIVERGENCE,
        "return kl_divergence(teacher_log_probs, student_log_probs)",
        "return kl_divergence(student_log_probs, teacher_log_probs)",
        "LOSS-001",
        "looks like M002, alpha 0 gives the reverse KL as well",
    ),
    Slip(
        "weights_of_the_mixture",
        _DIVERGENCE,
        "student = torch.where(has_mass, student_log_probs, 0.0) + math.log1p(-alpha)",
        "student = torch.where(has_mass, student_log_probs, 0.0) + math.log(alpha)",
        "LOSS-003",
        None,
    ),
    Slip(
        "sign_in_the_kl",
        _DIVERGENCE,
        "terms = p * (near.expm1() - near)",
        "terms = p * (near.expm1() + near)",
        "LOSS-001",
        "looks like M145, the loss is the negative of the divergence",
    ),
    Slip(
        "no_mass_on_either_side",
        _DIVERGENCE,
        "return torch.where(has_mass, torch.logaddexp(student, teacher), _ZERO_MASS)",
        "return torch.logaddexp(student_log_probs + math.log1p(-alpha), teacher_log_probs + math.log(alpha))",
        "LOSS-007",
        None,
    ),
    Slip(
        "masked_by_multiplication",
        _LOSS,
        "return torch.where(mask[..., None], logits, 0.0)",
        "return logits * mask[..., None]",
        "LOSS-051",
        "nearest known defect: M107, masked tokens are replaced after they were computed",
    ),
)


def plant(folder: Path, slip: Slip) -> None:
    """Write ``my_divergence.py`` and ``my_copy.py``: the reference's text with one piece swapped."""
    texts = {file: (_PACKAGE / file).read_text(encoding="utf-8") for file in (_DIVERGENCE, _LOSS)}
    assert texts[slip.file].count(slip.line) == 1
    texts[slip.file] = texts[slip.file].replace(slip.line, slip.instead)
    loss = texts[_LOSS].replace("sdpo_ref.functional.divergence", "my_divergence") + _WRAPPER
    (folder / "my_divergence.py").write_text(texts[_DIVERGENCE], encoding="utf-8")
    (folder / "my_copy.py").write_text(loss, encoding="utf-8")


VERIFY = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace
from sdpo_ref import verify
from sdpo_ref.verification.checks import outside

def in_this_process(command, **_):
    sys.argv = command[2:]
    outside._main()

# the process of LOSS-065 is not what is looked at, and takes three CPU seconds for each slip
outside.subprocess = SimpleNamespace(run=in_this_process, DEVNULL=None, TimeoutExpired=TimeoutError)
found = {}
root, here = Path.cwd(), sys.path[:]
for folder in sorted(root.iterdir()):
    os.chdir(folder)
    report = verify("my_copy:make", level=1, in_process=True)
    diagnosis = None if report.diagnosis is None else report.diagnosis.sentence
    found[folder.name] = [report.verdict.exit_code, diagnosis, str(report)]
    sys.path[:] = here
    for name in ("my_copy", "my_divergence"):
        sys.modules.pop(name, None)
(root / "found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str | None, str]]:
    """Exit code, diagnosis and text of each slip's report; one process verifies them one after the other."""
    root = tmp_path_factory.mktemp("slips")
    for slip in SLIPS:
        (root / slip.name).mkdir()
        plant(root / slip.name, slip)
    done = subprocess.run([sys.executable, "-c", VERIFY], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str | None, str]] = json.loads((root / "found.json").read_text())
    return found


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.name)
def test_the_wrong_line_is_found(slip: Slip, reports: dict[str, tuple[int, str | None, str]]) -> None:
    """The run fails, the line's requirement is shown at once, and the diagnosis is about that defect or silent."""
    exit_code, diagnosis, printed = reports[slip.name]
    assert exit_code == 1
    blocks = [line.split()[0] for line in printed.splitlines() if line.endswith(("FAIL  MUST", "ERROR  MUST"))]
    assert slip.requirement in blocks[:2]
    assert len(printed.splitlines()) < LONGEST
    assert ("Diagnosis" in printed) == (diagnosis is not None)
    if slip.diagnosis is None:
        assert diagnosis is None
    else:
        assert diagnosis is not None
        assert diagnosis.startswith(slip.diagnosis)
