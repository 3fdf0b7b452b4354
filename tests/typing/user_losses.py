"""Calls of the public functions as a user would write them: what is imported is typed, and so is what is returned.

A type checker reads this file in `test_typing.py`. Nothing here is run.
"""

from typing import assert_type

import torch
from torch import Tensor

from sdpo_ref import (
    FULL,
    SAMPLED_TOKEN,
    SPEC_VERSION,
    DistillationBatch,
    Feedback,
    Head,
    HiddenBatch,
    Judgement,
    Support,
    generalized_jsd,
    hybrid_loss,
    implicit_reward,
    sdft_loss,
    sdpo_loss,
    sdpo_token_losses,
    verify,
)


def calls() -> None:
    """Every public function once."""
    mask = torch.ones(2, 3, dtype=torch.bool)
    tokens = torch.zeros(2, 3, dtype=torch.long)
    logits = torch.zeros(2, 3, 4)
    batch = DistillationBatch(logits, logits, tokens, mask, mask[:, 0])
    head = Head(torch.zeros(4, 5))
    hidden = HiddenBatch(torch.zeros(2, 3, 5), head, torch.zeros(2, 3, 5), head, tokens, mask, mask[:, 0])

    assert_type(sdpo_loss(batch, alpha=1.0), Tensor)
    assert_type(
        sdpo_loss(hidden, alpha=0.5, support=Support("top_k_tail", k=20), impl="chunked", chunk_bytes=2**20), Tensor
    )
    assert_type(sdpo_token_losses(batch, alpha=1.0, support=FULL, ratio_cap=2.0, impl="reference"), Tensor)
    assert_type(sdft_loss(hidden, skip_tokens=3, impl="auto"), Tensor)
    assert_type(
        hybrid_loss(batch, torch.ones(2), torch.zeros(2).long(), reward_weight=0.9, support=SAMPLED_TOKEN), Tensor
    )
    assert_type(implicit_reward(logits, logits, tokens, mask), Tensor)
    assert_type(generalized_jsd(logits.log_softmax(-1), logits.log_softmax(-1), alpha=0.5), Tensor)
    assert_type(SPEC_VERSION.count("."), int)

    assert_type(Judgement(torch.ones(2), (Feedback("Good.", ratings=(1.0,)), None)).rewards, Tensor)
    verify("my_sdpo:make")
