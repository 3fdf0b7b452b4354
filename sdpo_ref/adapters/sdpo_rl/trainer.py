"""An sdpo-rl trainer by its own constructor, above a GRPO trainer whose constructor is replaced."""

from collections import defaultdict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn

from sdpo_ref.adapters.toys.loop import Callbacks
from sdpo_ref.adapters.toys.replay import Processes


def constructed(
    model: nn.Module,
    options: Mapping[str, object],
    *,
    tokenizer: Any = None,
    reward_function: Any = None,
    group_size: int = 1,
    num_iterations: int = 1,
) -> Any:
    """``SDPOTrainer(model, ...)``: sdpo-rl sets up its teacher and its callback, GRPO is told what it would read.

    Args:
        model: the student.
        options: fields of sdpo-rl's ``SDPOConfig``, which validates them.
        tokenizer: the processing class; the constructor sets its truncation side.
        reward_function: what is asked for ``last_feedback``.
        group_size: completions of each prompt.
        num_iterations: optimiser steps on the same rollouts.
    """
    from sdpo_rl import SDPOConfig, SDPOTrainer
    from trl import GRPOTrainer

    def grpo_constructor(self: Any, *, model: nn.Module, args: Any, processing_class: Any, **_unused: object) -> None:
        self.model = model
        self.ref_model = None  # as GRPO leaves it where beta is zero
        self.args = args
        self.processing_class = processing_class
        self.reward_funcs = [reward_function]
        self.reward_weights = torch.ones(1)
        self.accelerator = Processes()
        self.callback_handler = Callbacks()
        self._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}

    args = SimpleNamespace(
        beta=0.0,
        num_generations=group_size,
        num_iterations=num_iterations,
        torch_empty_cache_steps=None,
        optim="sgd",
        n_gpu=0,
    )
    with mock.patch.object(GRPOTrainer, "__init__", grpo_constructor):
        return SDPOTrainer(
            model,
            args,
            SDPOConfig(**options),
            tokenizer or SimpleNamespace(),
            reward_funcs=[reward_function],
        )
