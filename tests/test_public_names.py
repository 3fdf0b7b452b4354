"""What ``import sdpo_ref`` offers: exactly these names, and nothing slow until one is used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sdpo_ref

PUBLIC = {
    "FULL",
    "SAMPLED_TOKEN",
    "SPEC_VERSION",
    "DistillationBatch",
    "Feedback",
    "Head",
    "HiddenBatch",
    "Judgement",
    "Oracle",
    "Policy",
    "Rollouts",
    "Support",
    "Teacher",
    "Trainer",
    "generalized_jsd",
    "hybrid_loss",
    "implicit_reward",
    "sdft_loss",
    "sdpo_loss",
    "sdpo_token_losses",
    "verify",
}

SLOW = ("torch", "numpy", "pydantic", "jaxtyping", "scipy", "pytest")


def imported_for_type_checkers() -> dict[str, str]:
    """Name to module, as the block under ``TYPE_CHECKING`` has them."""
    tree = ast.parse(Path(sdpo_ref.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_the_public_names_are_these() -> None:
    """A name is added here on purpose, and none disappears unnoticed."""
    assert set(sdpo_ref.__all__) == PUBLIC
    assert set(dir(sdpo_ref)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_is_that_of_its_module(name: str) -> None:
    """At run time, and to a type checker, it is the same object from the same module."""
    found = getattr(sdpo_ref, name)
    if name == "SPEC_VERSION":
        assert isinstance(found, str)
    else:
        assert found is getattr(import_module(imported_for_type_checkers()[name]), name)


def test_type_checkers_see_every_name() -> None:
    """The imports for type checkers are the public names that this module does not define itself."""
    assert set(imported_for_type_checkers()) == PUBLIC - {"SPEC_VERSION"}


def test_nothing_slow_is_imported_before_a_name_is_used() -> None:
    """``import sdpo_ref`` takes milliseconds; the first tensor function imports torch."""
    code = (
        "import sys, sdpo_ref\n"
        "sdpo_ref.SPEC_VERSION, dir(sdpo_ref)\n"
        f"print([name for name in {SLOW} if name in sys.modules])\n"
        "sdpo_ref.sdpo_loss\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True"]


def test_a_loss_imports_no_implementation_that_it_does_not_use() -> None:
    """A small batch of logits is computed by the reference, without the code of the others, and without Triton."""
    code = (
        "import sys, torch\n"
        "from sdpo_ref import DistillationBatch, sdpo_loss\n"
        "even, mask = torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)\n"
        "sdpo_loss(DistillationBatch(even, even, torch.zeros(1, 1).long(), mask, mask[0]), alpha=1.0)\n"
        "print('sdpo_ref.losses.reference' in sys.modules)\n"
        "print(sorted({'sdpo_ref.losses.chunked', 'sdpo_ref.losses.fused', 'triton'} & {*sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True", "[]"]


def test_a_name_that_is_nearly_right() -> None:
    """The error names the public name that was probably meant."""
    with pytest.raises(AttributeError, match=r"'sdpo_ref' has no attribute 'sdpo_lose'; did you mean sdpo_loss"):
        _ = sdpo_ref.sdpo_lose


def test_a_name_that_is_like_no_other() -> None:
    """The error lists what there is."""
    with pytest.raises(AttributeError, match=r"has no attribute 'zzz'; the public names are FULL, .*verify"):
        _ = sdpo_ref.zzz
