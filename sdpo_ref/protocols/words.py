"""What published code calls the fields of this package: one table, shown in spec/00-notation and in errors.

A word that is refused somewhere is looked up here, so that the error says what it is called in this package.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sdpo_ref.errors import InvalidInputError


@dataclass(frozen=True)
class Word:
    """A word of published code.

    Attributes:
        theirs: as it is written there; ``name=value`` where only that value has a counterpart.
        where: who says so.
        ours: the name or value here; empty where there is none.
        caution: what is not the same; empty if nothing is.
    """

    theirs: str
    where: str
    ours: str
    caution: str = ""


WORDS: tuple[Word, ...] = (
    # The divergence and its support
    Word(
        "beta",
        "TRL Distillation and GKD, Liger, ms-swift",
        "alpha",
        "the coefficient of the KL penalty elsewhere in TRL",
    ),
    Word("jsd_beta", "Liger", "alpha"),
    Word("distillation_alpha", "TRL SDPO and SDFT", "alpha"),
    Word("lmbda", "TRL GKD, ms-swift", "", "the share of batches that the student samples; here all are"),
    Word("full_logits", "TRL SDPO and SDFT", "full"),
    Word("topk_logits", "TRL SDPO and SDFT", "top_k_renormalized", "top_k_tail if `distillation_add_tail`"),
    Word(
        "distillation_add_tail",
        "TRL SDPO and SDFT, sdpo-rl, lasgroup",
        "top_k_tail",
        "if true; top_k_renormalized if not",
    ),
    Word("distillation_topk", "TRL SDPO and SDFT, sdpo-rl, lasgroup", "k"),
    Word("topk", "verl", "k", "the teacher's, with neither tail nor rescaling"),
    Word("gkd_logits_topk", "ms-swift", "k", "the teacher's, rescaled"),
    Word("k1", "verl", "sampled_token", "with `use_policy_gradient`"),
    Word("forward_kl_topk", "verl", "alpha", "at 0"),
    # Importance weights
    Word("is_clip", "lasgroup, sdpo-rl", "ratio_cap"),
    Word("distillation_is_clip", "TRL SDPO and SDFT", "ratio_cap"),
    Word("old_log_probs", "verl, lasgroup", "behaviour_log_probs"),
    Word("old_log_prob", "verl, lasgroup", "behaviour_log_probs"),
    Word("old_per_token_logps", "TRL", "behaviour_log_probs"),
    Word("rollout_log_probs", "verl", "behaviour_log_probs"),
    # Aggregation
    Word("loss_agg_mode", "verl, lasgroup", "aggregation"),
    Word("loss_type", "TRL GRPO", "aggregation", "and the clipping that belongs to it"),
    Word("token-mean", "verl, lasgroup", "token_mean"),
    Word("seq-mean-token-mean", "verl, lasgroup", "row_mean", "row_mean_all where `global_batch_size` counts all rows"),
    Word(
        "seq-mean-token-sum", "verl, lasgroup", "row_sum", "a mean over all rows where `global_batch_size` counts them"
    ),
    Word("seq-mean-token-sum-norm", "verl, lasgroup", "time_normalized_sum", "verl divides by the rows as well"),
    Word("grpo", "TRL GRPO", "row_mean_all"),
    Word("bnpo", "TRL GRPO", "token_mean", "of each micro-batch"),
    Word("dapo", "TRL GRPO", "token_mean", "of all processes and micro-batches"),
    Word("dr_grpo", "TRL GRPO", "time_normalized_sum", "divided by the rows as well"),
    Word("num_items_in_batch", "transformers, TRL", "denominator", "of `token_mean`"),
    Word("batch_num_tokens", "verl", "denominator", "of `token_mean`"),
    # Tensors
    Word("responses", "verl, lasgroup", "completions"),
    Word("completion_ids", "TRL", "completions"),
    Word("labels", "transformers, Liger, ms-swift", "completions", "-100 where a token does not count"),
    Word(
        "response_mask",
        "verl, lasgroup, sdpo-rl",
        "completion_mask",
        "the reward's or a tool's tokens may be out of it",
    ),
    Word("tool_mask", "TRL", "completion_mask", "0 at a tool's tokens, which are attended and not counted"),
    Word("logprob", "verl", "student_log_probs", "of the sampled token only"),
    Word("log_probs", "verl", "student_log_probs", "of the sampled token only"),
    Word("per_token_logps", "TRL", "student_log_probs", "of the sampled token only"),
    Word("ref_logprob", "verl", "reference_logits", "as log-probabilities of the sampled token"),
    Word("teacher_logprobs", "verl", "teacher_log_probs", "at `teacher_ids` only"),
    Word("uid", "verl, lasgroup", "group_ids"),
    Word("num_generations", "TRL", "group_ids", "the number of rows with equal ids"),
    # The teacher
    Word("teacher_update_rate", "TRL SDPO and SDFT, sdpo-rl, lasgroup", "update_rate"),
    Word("ema_decay", "common", "update_rate", "one minus it"),
    Word("teacher_model_kind=base", "TRL SDPO and SDFT", "frozen"),
    Word("success_reward_threshold", "TRL SDPO, sdpo-rl, lasgroup", "success_threshold"),
    Word("dont_reprompt_on_self_success", "TRL SDPO, sdpo-rl, lasgroup", "own_success", "true is exclude"),
    Word(
        "environment_feedback_only_without_solution",
        "TRL SDPO, sdpo-rl, lasgroup",
        "feedback_when",
        "true is without_demonstration, false always",
    ),
    Word("include_environment_feedback", "TRL SDPO, sdpo-rl, lasgroup", "use_feedback"),
    Word("remove_thinking_from_demonstration", "TRL SDPO, sdpo-rl, lasgroup", "strip_thinking"),
    Word("max_reprompt_len", "TRL SDPO", "max_length", "of the whole chat, headers included"),
    Word("max_reprompt_length", "sdpo-rl", "max_length", "of the whole chat, headers included"),
    # The hybrid
    Word("distillation_weight", "TRL SDPO", "reward_weight", "one minus it"),
    Word("num_loss_tokens_to_skip", "TRL SDFT", "skip_tokens"),
)
"""In the order of the specification's chapters."""


def _key(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")


_BY_KEY: Mapping[str, Word] = MappingProxyType({_key(word.theirs): word for word in WORDS})


def nearest(received: object, allowed: Collection[str]) -> str:
    """What a refused word is called here, as the end of an error; empty if nothing comes near.

    Args:
        received: the word that was refused.
        allowed: those that are accepted in its place.

    Returns:
        A clause that begins with a semicolon.

    Example:
        >>> nearest("token-mean", ["token_mean", "row_mean"])
        "; 'token-mean' (verl, lasgroup) is 'token_mean' here"
        >>> nearest("tokenmean", ["token_mean", "row_mean"])
        "; the nearest is 'token_mean'"
        >>> nearest("something", ["token_mean"])
        ''
    """
    if not isinstance(received, str):
        return ""
    known = _BY_KEY.get(_key(received))
    if known is not None and known.ours in allowed:
        caution = f" ({known.caution})" if known.caution else ""
        return f"; {received!r} ({known.where}) is {known.ours!r} here{caution}"
    if known is not None and not known.ours:
        return f"; {received!r} ({known.where}) has no counterpart here: {known.caution}"
    near = difflib.get_close_matches(_key(received), allowed, n=1)
    return f"; the nearest is {near[0]!r}" if near else ""


def require_word(name: str, received: str, allowed: Collection[str]) -> None:
    """Refuse a word that is not one of ours, and say which of ours it means.

    Args:
        name: of the option.
        received: its value.
        allowed: the values that it may have.

    Raises:
        InvalidInputError: if the word is not allowed.

    Example:
        >>> require_word("side", "teach", ["student", "teacher"])
        Traceback (most recent call last):
        sdpo_ref.errors.InvalidInputError: side is 'teach'; allowed are 'student', 'teacher'; the nearest is 'teacher'
    """
    if received not in allowed:
        raise InvalidInputError(
            f"{name} is {received!r}; allowed are {', '.join(map(repr, allowed))}{nearest(received, allowed)}"
        )


def table() -> str:
    """The table of spec/00-notation, in Markdown."""
    lines = ["| theirs | where | ours | not the same |", "|---|---|---|---|"]
    for word in WORDS:
        ours = f"`{word.ours}`" if word.ours else "–"
        lines.append(f"| `{word.theirs}` | {word.where} | {ours} | {word.caution} |")
    return "\n".join(lines)
