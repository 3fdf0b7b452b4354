"""An adapter is three files, as CONTRIBUTING says: one is written here for a peer of one function, and verified."""

import contextlib
from pathlib import Path

import pytest

from sdpo_ref import verify

PEER = """
def kl_loss(target_logits, policy_logits, reverse):
    p, q = (policy_logits, target_logits) if reverse else (target_logits, policy_logits)
    p, q = p.log_softmax(-1), q.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)
"""

FILES = {
    "losses.py": """
def divergence(student_log_probs, teacher_log_probs, *, alpha, support):
    import someones_distillation

    if alpha not in {0.0, 1.0} or support.kind != "full":
        raise NotImplementedError("someones_distillation has the two ends of alpha and the full vocabulary only")
    return someones_distillation.kl_loss(teacher_log_probs, student_log_probs, reverse=alpha == 1.0)
""",
    "training.py": """
def defaults():
    return {"alpha": 1.0, "support": "full"}
""",
    "__init__.py": """
from types import SimpleNamespace

from their_adapter.losses import divergence
from their_adapter.training import defaults


def make():
    return SimpleNamespace(name="someone's", profile="paper", divergence=divergence, defaults=defaults)
""",
}


@pytest.mark.slow
def test_three_files_are_an_adapter(tmp_path: Path) -> None:
    """Both ends of alpha pass, what the peer does not have is seen, and a peer that is wrong fails by name."""
    (tmp_path / "their_adapter").mkdir()
    for name, text in FILES.items():
        (tmp_path / "their_adapter" / name).write_text(text)
    (tmp_path / "someones_distillation.py").write_text(PEER)
    with contextlib.chdir(tmp_path):
        right = verify("their_adapter:make", only=["LOSS-001", "LOSS-002"], jobs=1)
        (tmp_path / "someones_distillation.py").write_text(PEER.replace("if reverse", "if not reverse"))
        wrong = verify("their_adapter:make", only=["LOSS-001", "LOSS-002"], jobs=1)
    assert {it.id: it.status for it in right.requirements} == {"LOSS-001": "PASS", "LOSS-002": "PASS"}
    assert {it.id: it.status for it in wrong.requirements} == {"LOSS-001": "FAIL", "LOSS-002": "FAIL"}
    assert "M001" in str(wrong)
