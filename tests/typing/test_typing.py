"""User code that implements the Protocols type-checks under mypy strict, and user code that misses one does not.

mypy runs outside the checkout, as it would for a user: it finds the package through the environment and `py.typed`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

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


def mypy(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check every file of a folder in strict mode, with the settings of no project."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT}/.mypy_cache/user"]
    files = [str(file) for file in sorted(folder.glob("*.py"))]
    return subprocess.run([*command, *files], cwd=folder, capture_output=True, text=True, check=False)


def copied(folder: Path) -> Path:
    """A folder outside the checkout with the user's files in it."""
    for file in HERE.glob("user_*.py"):
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_user_code_type_checks(tmp_path: Path) -> None:
    """Plain classes and functions satisfy every Protocol in strict mode."""
    done = mypy(copied(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("protocol", MISTAKES)
def test_a_wrong_name_is_reported(tmp_path: Path, protocol: str) -> None:
    """A method, an argument or an implementation under another name: mypy says which type it misses."""
    name, right, wrong = MISTAKES[protocol]
    file = copied(tmp_path) / name
    text = file.read_text(encoding="utf-8")
    assert text.count(right) == 1
    file.write_text(text.replace(right, wrong), encoding="utf-8")
    done = mypy(tmp_path)
    assert done.returncode == 1
    assert f'"{protocol}"' in done.stdout
