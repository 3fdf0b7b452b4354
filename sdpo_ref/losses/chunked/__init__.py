"""The SDPO loss in bounded memory, in plain torch: from hidden states or logits, token chunk by token chunk.

The same two functions as :mod:`sdpo_ref.losses.reference`, equal in value and gradient. Read the files in the order in
which data flows: ``tokens`` (which positions count), ``chunks`` (how many at a time), ``from_hidden`` and
``from_logits`` (where a chunk's logits come from and its gradient goes to), ``supports`` and ``divergence`` (the closed
forms, one block of logits at a time), ``evaluate`` (the loop), ``autograd`` (what is kept for backward), ``losses``
(what a user calls). What this variant may and may not do is spec/decisions/0018.
"""

from sdpo_ref.losses.chunked.chunks import DEFAULT_CHUNK_BYTES
from sdpo_ref.losses.chunked.losses import sdpo_loss, sdpo_token_losses

__all__ = ["DEFAULT_CHUNK_BYTES", "sdpo_loss", "sdpo_token_losses"]
