"""The defaults of TRL's configurations, under our names."""

from typing import Any

from sdpo_ref.adapters.trl.trainer import default_arguments

_SUPPORTS = {"full_logits": "full", "sampled_token": "sampled_token"}
_TEACHERS = {"base": "frozen"}


def defaults(config_class: Any) -> dict[str, object]:
    """What a user gets who sets nothing; SDFT's configuration has no fields about success or feedback."""
    args = default_arguments(config_class)
    tail = "top_k_tail" if args.distillation_add_tail else "top_k_renormalized"
    values: dict[str, object] = {
        "alpha": args.distillation_alpha,
        "support": _SUPPORTS.get(args.distillation_mode, tail),
        "k": args.distillation_topk,
        "ratio_cap": args.distillation_is_clip,
        "teacher": _TEACHERS.get(args.teacher_model_kind, args.teacher_model_kind),
        "update_rate": args.teacher_update_rate,
        "temperature": args.temperature,
    }
    if hasattr(args, "success_reward_threshold"):
        only_without = args.environment_feedback_only_without_solution
        values |= {
            "success_threshold": args.success_reward_threshold,
            "own_success": "exclude" if args.dont_reprompt_on_self_success else "include",
            "feedback_when": "without_demonstration" if only_without else "always",
            "use_feedback": args.include_environment_feedback,
            "strip_thinking": args.remove_thinking_from_demonstration,
        }
    return values
