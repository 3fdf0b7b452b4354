"""User code that implements the Protocols type-checks under mypy strict, and user code that misses one does not.

mypy runs outside the checkout, as it would for a user: it finds the package through the environment and `py.typed`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

MISTAKES = {
    "Policy": ("user_parts.py", "def sample(", "def draw("),
    "Oracle": ("user_parts.py", "def judge(", "def score("),
    "Teacher": ("user_parts.py", "def view(", "def look("),
    "Trainer": ("user_parts.py", "def step(", "def train("),
    "Literal['auto', 'reference', 'chunked', 'fused']": ("user_losses.py", 'impl="chunked"', 'impl="cunked"'),
    "ImplicitReward": ("user_functions.py", "    completion_mask: Bool", "    mask: Bool"),
    "TrustRegion": ("user_functions.py", "    mix: float", "    weight: float"),
}
"""By the type that is missed: file, text to replace, and the wrong name that replaces it."""


RIGHT = "right"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What mypy says in strict mode, with the settings of no project, about the files as they are and each mistake.

    Each stands in a folder of its own outside the checkout; mypy runs once over all of them.
    """
    root = tmp_path_factory.mktemp("users")
    folders = {RIGHT: "right"} | {missed: f"wrong_{number}" for number, missed in enumerate(MISTAKES)}
    for folder in folders.values():
        (root / folder).mkdir()
        for file in HERE.glob("user_*.py"):
            (root / folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    for missed, (name, right, wrong) in MISTAKES.items():
        file = root / folders[missed] / name
        text = file.read_text(encoding="utf-8")
        assert text.count(right) == 1
        file.write_text(text.replace(right, wrong), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT}/.mypy_cache/user"]
    done = subprocess.run(
        [*command, "--namespace-packages", "--explicit-package-bases", *folders.values()],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    return {
        name: "\n".join(line for line in lines if line.startswith(f"{folder}/")) for name, folder in folders.items()
    }


def test_user_code_type_checks(reported: dict[str, str]) -> None:
    """Plain classes and functions satisfy every Protocol in strict mode."""
    assert not reported[RIGHT]


@pytest.mark.parametrize("missed", MISTAKES)
def test_a_wrong_name_is_reported(reported: dict[str, str], missed: str) -> None:
    """A method, an argument or an implementation under another name: mypy says which type it misses."""
    assert f'"{missed}"' in reported[missed]
