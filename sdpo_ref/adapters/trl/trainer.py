"""A TRL trainer without its constructor, and TRL's names for our options."""

from collections import defaultdict
from dataclasses import MISSING, fields
from types import SimpleNamespace
from typing import Any

from sdpo_ref.adapters.toys.replay import Processes
from sdpo_ref.types import Support


def default_arguments(config_class: Any, **chosen: object) -> SimpleNamespace:
    """A configuration with every field at TRL's own default, but for the chosen ones.

    The dataclass is read and not constructed: its constructor sets up devices, logging and an output folder.
    """
    defaults: dict[str, object] = {}
    for field in fields(config_class):
        if field.default is not MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not MISSING:
            defaults[field.name] = field.default_factory()
    return SimpleNamespace(**{**defaults, **chosen})


def unconstructed(trainer_class: Any, args: SimpleNamespace, **attributes: object) -> Any:
    """A trainer of TRL's class with the attributes that its methods read."""
    trainer = object.__new__(trainer_class)
    common = {
        "args": args,
        "accelerator": Processes(),
        "temperature": args.temperature,
        "use_teacher_server": False,
        "num_loss_tokens_to_skip": getattr(args, "num_loss_tokens_to_skip", 0),
        "model_kwarg_keys": (),
        "current_gradient_accumulation_steps": 1,
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
    }
    for name, value in {**common, **attributes}.items():
        setattr(trainer, name, value)
    return trainer


def distillation_options(support: Support, *, alpha: float, ratio_cap: float | None) -> dict[str, object]:
    """TRL's names for the support, the divergence and the cap of the importance ratio."""
    modes = {"full": "full_logits", "sampled_token": "sampled_token"}
    return {
        "distillation_mode": modes.get(support.kind, "topk_logits"),
        "distillation_topk": support.k,
        "distillation_add_tail": support.kind == "top_k_tail",
        "distillation_alpha": alpha,
        "distillation_is_clip": ratio_cap,
    }
