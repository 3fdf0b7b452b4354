"""Both KL divergences in JAX: sdpo-ref verify --cmd 'python jax_loss.py' --level 1 --call-limit 60."""

import jax
import jax.numpy as jnp
from sdpo_lines import serve

jax.config.update("jax_enable_x64", True)  # without it everything is float32, and is compared as that


@jax.jit
@jax.value_and_grad
def objective(student, teacher, counts, alpha):
    student, teacher = (jnp.where(counts[..., None], side, 0.0) for side in (student, teacher))  # before, not after
    student, teacher = jax.nn.log_softmax(student), jax.nn.log_softmax(jax.lax.stop_gradient(teacher))
    p, q = jnp.where(alpha == 1.0, student, teacher), jnp.where(alpha == 1.0, teacher, student)
    tokens = (jnp.exp(p) * jnp.where(p == -jnp.inf, 0.0, p - q)).sum(-1)
    return jnp.where(counts, tokens, 0.0).sum() / jnp.maximum(counts.sum(), 1)


def loss(batch, alpha, support, temperature, ratio_cap):
    if support.kind != "full" or temperature != 1.0 or ratio_cap is not None:
        raise NotImplementedError("the full vocabulary at temperature 1, without importance weights")
    if alpha not in (0.0, 1.0):
        raise ValueError(f"alpha must be 0 or 1, received {alpha}")
    counts = batch.completion_mask & batch.self_distillation_mask[:, None]
    return objective(batch.student_logits.astype(float), batch.teacher_logits.astype(float), counts, alpha)


if __name__ == "__main__":
    serve(["loss", "loss.half"], name="JAX example", profile={"alphas": [0.0, 1.0]}, loss=loss)
