"""Teachers in closed form: weights that average the student's (TEACH-020), and the trust region (TEACH-026)."""

from collections.abc import Sequence

from mpmath import mpf

from sdpo_ref.vectors.derivation.numbers import Row, log_softmax


def averages(teacher: Row, students: Sequence[Row], update_rate: mpf) -> list[list[mpf]]:
    """The teacher's weights after each of the students' updates: (1 - rate) teacher + rate student."""
    current = list(teacher)
    result = []
    for student in students:
        current = [(1 - update_rate) * old + update_rate * new for old, new in zip(current, student, strict=True)]
        result.append(current)
    return result


def trust_region(reference_logits: Row, student_logits: Row, mix: mpf) -> list[mpf]:
    """Log of softmax((1 - mix) log R + mix log S): the normalised geometric mixture."""
    reference, student = log_softmax(reference_logits), log_softmax(student_logits)
    return log_softmax([(1 - mix) * r + mix * s for r, s in zip(reference, student, strict=True)])
