"""Published implementations on the same batch: their own code, called as their users call it.

A peer that is not installed, or that cannot run on a device, is named with the reason and left out.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from benchmarks.contestants import Contestant, Loss, of_loss
from sdpo_ref.types import HiddenBatch


@dataclass(frozen=True)
class Absent:
    """A peer that is left out.

    Attributes:
        name: of the peer.
        why: one line.
    """

    name: str
    why: str


def peers(makers: Mapping[str, Callable[[], Contestant]]) -> tuple[list[Contestant], list[Absent]]:
    """Those peers that can be made here, and why the others cannot.

    Args:
        makers: by name.

    Returns:
        Contestants, and the absent.

    Example:
        >>> def missing():
        ...     raise ModuleNotFoundError("No module named 'liger_kernel'")
        >>> peers({"Liger": missing})
        ([], [Absent(name='Liger', why="No module named 'liger_kernel'")])
    """
    found, absent = [], []
    for name, make in makers.items():
        try:
            with warnings.catch_warnings(action="ignore"):
                found.append(make())
        except ImportError as error:  # a peer of another release may lack a part: also an ImportError
            absent.append(Absent(name, str(error).splitlines()[0]))
    return found, absent


def liger_chunked(*, alpha: float, compiled: bool, name: str) -> Contestant:
    """Liger's chunked JSD without its hard loss; keeps half-precision logits in half precision.

    Args:
        alpha: Liger's ``beta``, which means the same.
        compiled: whether each chunk is compiled, as its own default is.
        name: shown in tables.

    Returns:
        A contestant.

    Raises:
        ImportError: if Liger is not installed.
    """
    return of_loss(name, liger_chunked_loss(alpha=alpha, compiled=compiled))


def liger_chunked_loss(*, alpha: float, compiled: bool) -> Loss:
    """The loss of :func:`liger_chunked`; arguments as there."""
    from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDLoss

    module = LigerFusedLinearJSDLoss(weight_hard_loss=0.0, weight_soft_loss=1.0, beta=alpha, compiled=compiled)

    def loss(batch: HiddenBatch) -> Tensor:
        student, teacher, weight = _flat(batch)
        result: Tensor = module(student, weight, teacher, weight, batch.completions.flatten())
        return result

    return loss


def liger_fused(*, alpha: float, name: str) -> Contestant:
    """Liger's fused JSD: a Triton kernel for each chunk.

    Args:
        alpha: Liger's ``jsd_beta``, which means the same.
        name: shown in tables.

    Returns:
        A contestant; on a CPU it runs in Triton's interpreter only.

    Raises:
        ImportError: if Liger is not installed.
    """
    return of_loss(name, liger_fused_loss(alpha=alpha))


def liger_fused_loss(*, alpha: float) -> Loss:
    """The loss of :func:`liger_fused`; arguments as there."""
    from liger_kernel.transformers.fused_linear_jsd import LigerFusedLinearJSD

    module = LigerFusedLinearJSD(jsd_beta=alpha)

    def loss(batch: HiddenBatch) -> Tensor:
        student, teacher, weight = _flat(batch)
        result: Tensor = module(student, weight, teacher, weight, None)
        return result

    return loss


def trl_top_k(*, alpha: float, k: int, tail: bool, name: str) -> Contestant:
    """TRL's top-k path from materialised logits, as its trainer calls it.

    Args:
        alpha: its ``distillation_alpha``.
        k: its ``distillation_topk``.
        tail: whether all other tokens make one more cell.
        name: shown in tables.

    Returns:
        A contestant with another loss than that of the full vocabulary.

    Raises:
        ImportError: if TRL is not installed, or is another release than the adapters were written for.
    """
    per_token = trl_top_k_losses(alpha=alpha, k=k, tail=tail)

    def loss(batch: HiddenBatch) -> Tensor:
        logits = batch.project()
        return per_token(logits.student_logits, logits.teacher_logits).mean()

    return of_loss(name, loss, note="another loss", exact=False)


def trl_top_k_losses(*, alpha: float, k: int, tail: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """TRL's loss of each token, from the logits of student and teacher; arguments as for :func:`trl_top_k`."""
    from sdpo_ref.adapters.peers import require_trl
    from sdpo_ref.errors import LoadError

    try:
        require_trl()
    except LoadError as error:
        raise ImportError(str(error)) from error
    from trl.experimental.sdpo.loss_utils import compute_topk_self_distillation_loss

    def losses(student: Tensor, teacher: Tensor) -> Tensor:
        per_token: Tensor = compute_topk_self_distillation_loss(
            student, teacher, distillation_topk=k, distillation_alpha=alpha, distillation_add_tail=tail
        )
        return per_token

    return losses


def _flat(batch: HiddenBatch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.student_hidden.flatten(0, 1), batch.teacher_hidden.flatten(0, 1), batch.student_head.weight
