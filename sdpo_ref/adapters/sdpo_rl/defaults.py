"""The defaults of sdpo-rl's configuration, under our names."""

from dataclasses import fields


def defaults() -> dict[str, object]:
    """What a user gets who sets nothing; the temperature is that of TRL's ``GRPOConfig``, which goes with it."""
    from sdpo_rl import SDPOConfig
    from trl import GRPOConfig

    config = SDPOConfig()
    only_without = config.environment_feedback_only_without_solution
    (temperature,) = (field.default for field in fields(GRPOConfig) if field.name == "temperature")
    return {
        "alpha": config.alpha,
        "support": "top_k_tail" if config.distillation_add_tail else "top_k_renormalized",
        "k": config.distillation_topk,
        "ratio_cap": config.is_clip,
        "teacher": config.teacher_mode,
        "update_rate": config.teacher_update_rate,
        "success_threshold": config.success_reward_threshold,
        "own_success": "exclude" if config.dont_reprompt_on_self_success else "include",
        "feedback_when": "without_demonstration" if only_without else "always",
        "use_feedback": config.include_environment_feedback,
        "strip_thinking": config.remove_thinking_from_demonstration,
        "temperature": temperature,
    }
