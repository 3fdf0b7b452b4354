"""The SDPO loss on a GPU: library matrix products around one Triton kernel, in bounded memory, without waiting.

The same two functions as :mod:`sdpo_ref.losses.reference`, equal in value and gradient, for float32, bfloat16 and
float16. Importing this package imports no Triton (extra ``gpu``); calling it does. Read the files in the order in which
data flows: ``losses`` (what a user calls), ``requirements`` (what is refused), ``operators`` (what torch sees),
``packing`` (counted tokens first), ``evaluate`` (the loop over chunks), ``sources`` and ``products`` (logits from
hidden states, and back), ``supports`` and ``launch`` (which kernel, on what grid), ``renormalized`` (the one support
that needs no gradient over the whole vocabulary), ``kernels`` (what runs on the device).
"""

from sdpo_ref.losses.fused.losses import DEFAULT_CHUNK_BYTES, sdpo_loss, sdpo_token_losses

__all__ = ["DEFAULT_CHUNK_BYTES", "sdpo_loss", "sdpo_token_losses"]
