"""Reverse KL in NumPy, with its gradient by hand: sdpo-ref verify --cmd 'python numpy_loss.py' --level 1."""

import numpy as np
from sdpo_lines import serve


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def loss(batch, alpha, support, temperature, ratio_cap):
    if support.kind != "full" or temperature != 1.0 or ratio_cap is not None:
        raise NotImplementedError("the full vocabulary at temperature 1, without importance weights")
    if alpha != 1.0:
        raise ValueError(f"alpha must be 1, received {alpha}")
    counts = batch.completion_mask & batch.self_distillation_mask[:, None]
    student = log_softmax(batch.student_logits[counts].astype(float))
    teacher = log_softmax(batch.teacher_logits[counts].astype(float))
    with np.errstate(invalid="ignore"):  # a token without mass adds nothing
        ratio = np.where(student == -np.inf, 0.0, student - teacher)
    tokens = (np.exp(student) * ratio).sum(-1, keepdims=True)
    gradient, number = np.zeros(batch.student_logits.shape), max(counts.sum(), 1)
    gradient[counts] = np.exp(student) * (ratio - tokens) / number
    return tokens.sum() / number, gradient


if __name__ == "__main__":
    serve(["loss", "loss.half"], name="NumPy example", profile={"alphas": [1.0]}, loss=loss)
