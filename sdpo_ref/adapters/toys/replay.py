"""A model that answers with logits that were given to it, and the other stand-ins of a single loss."""

from types import SimpleNamespace

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn


class ReplayModel(nn.Module):
    """A causal language model whose forward pass returns given logits, for a prompt of one token.

    A language model's logits at position ``i`` are for the token at ``i + 1``, so the logits of the first completion
    token stand at the prompt's position, and one row of zeros follows that no trainer reads.
    """

    def __init__(self, completion_logits: Float[Tensor, "rollout time vocab"]) -> None:
        super().__init__()
        self._completion_logits = completion_logits

    def forward(self, **_inputs: object) -> SimpleNamespace:
        """The given logits, shifted as a language model's are; whatever the inputs say."""
        beyond = torch.zeros_like(self._completion_logits[:, :1])
        return SimpleNamespace(logits=torch.cat([self._completion_logits, beyond], dim=1))


class Processes:
    """What a trainer asks of ``accelerate.Accelerator`` while it computes a loss, on the CPU.

    ``gather`` is a collective call whenever ``torch.distributed`` is initialised, as accelerate's is: a process that
    does not take part keeps the others waiting.
    """

    device = torch.device("cpu")
    process_index = 0

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, one after the other."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return tensor
        row = tensor.detach().reshape(-1) if tensor.ndim == 0 else tensor.detach().contiguous()
        gathered = [torch.empty_like(row) for _ in range(distributed.get_world_size())]
        distributed.all_gather(gathered, row)
        return torch.cat(gathered)

    def pad_across_processes(self, tensor: Tensor, **_options: object) -> Tensor:
        """The tensor itself: one process has the longest completion."""
        return tensor

    def prepare(self, model: nn.Module) -> nn.Module:
        """The model itself: it is on the CPU already."""
        return model

    def unwrap_model(self, model: nn.Module, **_options: object) -> nn.Module:
        """The model itself: nothing wraps it."""
        return model
