"""The vectors are checked from another language, without Python and without a dependency."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sdpo_ref._resources import content
from sdpo_ref.vectors.store import load

PLANTED = {
    "KL reversed": (
        "const ends = alpha === 0 ? kl(t, s) : kl(s, t);",
        "const ends = alpha === 0 ? kl(s, t) : kl(t, s);",
    ),
    "tail forgotten": ('return kind === "top_k_tail" ? [...head, ids.slice(k)] : head;', "return head;"),
    "a zero times an infinity": ("if (p[i] === -Infinity) sum += Math.exp(q[i]);", "if (false) continue;"),
    "gradient of the other KL": ("const other = alpha === 1 ? teacher : mixture;", "const other = teacher;"),
}
"""A line of the example, and the same line with a mistake."""

FAILING = {
    "KL reversed": "divergence-v3-alpha-0 (LOSS-001, LOSS-004)",
    "tail forgotten": "divergence-v5-top-1-tail-student-alpha-0 (",
    "a zero times an infinity": "divergence-zero-mass-student-alpha-1 (",
    "gradient of the other KL": "divergence-v3-alpha-0.25 (",
}
"""The case that must be named."""


def check(node: str, vectors: Path) -> subprocess.CompletedProcess[str]:
    """Run the example on the vectors beside it."""
    return subprocess.run([node, str(vectors / "example" / "check.mjs")], capture_output=True, text=True, check=False)


def test_every_divergence_passes(node: str) -> None:
    """All cases are asked, and all pass."""
    cases = len(load("divergence"))
    done = check(node, content("conformance") / "vectors")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"divergence: {cases}/{cases}\n", "")
    page = (content("conformance") / "vectors" / "CONSUME.md").read_text()
    assert done.stdout in page


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_is_found(node: str, tmp_path: Path, mistake: str) -> None:
    """The exit code is 1, and a case that shows it is printed with what it means."""
    vectors = tmp_path / "vectors"
    shutil.copytree(content("conformance") / "vectors", vectors)
    file = vectors / "example" / "divergence.mjs"
    right, wrong = PLANTED[mistake]
    source = file.read_text()
    assert source.count(right) == 1
    file.write_text(source.replace(right, wrong))
    done = check(node, vectors)
    assert done.returncode == 1
    assert FAILING[mistake] in done.stdout
    assert "  in training:  " in done.stdout


def test_a_known_defect_is_named(node: str, tmp_path: Path) -> None:
    """Numbers of a known defect are distinguished from other wrong numbers."""
    vectors = tmp_path / "vectors"
    shutil.copytree(content("conformance") / "vectors", vectors)
    file = vectors / "example" / "divergence.mjs"
    file.write_text(file.read_text().replace(*PLANTED["KL reversed"]))
    assert "  looks like:   M001 student and teacher swapped\n" in check(node, vectors).stdout
