"""What feedback says about each token of a completion: the implicit reward token by token, and a page of it."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.implicit_reward import implicit_token_rewards
from sdpo_ref.lm.policy import TransformersPolicy
from sdpo_ref.protocols.parts import Message
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.teachers.chat import ChatRollouts
from sdpo_ref.teachers.context import Template
from sdpo_ref.teachers.weights import Conditioning
from sdpo_ref.types import Feedback, Judgement

_ON_FEEDBACK = ContextRules(use_demonstrations=False, feedback_when="always")


@dataclass(frozen=True)
class Credit:
    r"""The credit of each token of one completion.

    .. math::
        r_t = \log \pi(y_t \mid x, c, y_{<t}) - \log \pi(y_t \mid x, y_{<t})

    Attributes:
        messages: x, the conversation that is answered.
        feedback: c, what was read; ``None`` where nothing was.
        tokens: the text of each token; together they are the completion.
        nats: r of each; positive where the feedback speaks for the token, zero everywhere if nothing was read.
    """

    messages: tuple[Message, ...]
    feedback: str | None
    tokens: tuple[str, ...]
    nats: tuple[float, ...]

    @property
    def total(self) -> float:
        """The implicit reward of the completion, in nats."""
        return sum(self.nats)


def credit_of(
    policy: TransformersPolicy,
    prompt: str | Sequence[Message],
    completion: str,
    feedback: str,
    *,
    template: Template | None = None,
) -> Credit:
    """The credit map of a given text.

    Args:
        policy: reads prompt and feedback.
        prompt: what is answered.
        completion: the answer; it is tokenised here, with the end of a completion behind it if there is one.
        feedback: on this answer.
        template: the words around the feedback.

    Raises:
        InvalidInputError: if completion or feedback is blank.
    """
    if not completion.strip() or not feedback.strip():
        raise InvalidInputError(
            f"received completion {completion!r} and feedback {feedback!r}; a credit map needs words in both"
        )
    ids = [int(it) for it in policy.tokenizer(completion, add_special_tokens=False)["input_ids"]]
    ids += sorted(policy.end_ids)[:1]
    completions = torch.tensor([ids])
    rollouts = ChatRollouts(
        policy.prompts([prompt]),
        completions,
        torch.ones_like(completions, dtype=torch.bool),
        torch.zeros(completions.shape),
    )
    (found,) = credits_of(
        policy,
        rollouts,
        Judgement(torch.zeros(1), (Feedback(feedback),)),
        policy.reprompter(_ON_FEEDBACK, template=template),
    )
    return found


def credits_of(
    policy: TransformersPolicy, rollouts: ChatRollouts, judgement: Judgement, conditioning: Conditioning
) -> list[Credit]:
    """The credit map of each rollout, as the self-teacher with the policy's current weights gives it.

    Args:
        policy: whose rollouts.
        rollouts: what it sampled.
        judgement: on them.
        conditioning: how it reads the judgement, as ``policy.reprompter(rules)``.
    """
    view = conditioning.view(policy, rollouts, judgement)
    with torch.no_grad():
        before = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    nats: Float[Tensor, "rollout time"] = implicit_token_rewards(
        view.logits, before, rollouts.completions, rollouts.completion_mask & view.self_distillation_mask[:, None]
    )
    found = []
    for row, mask in enumerate(rollouts.completion_mask):
        said = judgement.feedback[row]
        found.append(
            Credit(
                rollouts.prompts.messages[row],
                None if said is None or not bool(view.self_distillation_mask[row]) else said.text,
                token_texts(policy, rollouts.completions[row][mask].tolist()),
                tuple(nats[row][mask].tolist()),
            )
        )
    return found


def token_texts(policy: TransformersPolicy, token_ids: Sequence[int]) -> tuple[str, ...]:
    """The text that each token adds to those before it; a special token by its name.

    A token that holds a part of a character adds nothing, and the one that completes it adds the character.

    Args:
        policy: whose tokenizer.
        token_ids: of a completion.
    """
    found, text = [], ""
    for end in range(1, len(token_ids) + 1):
        longer = policy.decode(token_ids[:end])
        added = longer.removeprefix(text) if longer.startswith(text) else policy.decode(token_ids[end - 1 : end])
        if added.endswith("\N{REPLACEMENT CHARACTER}"):
            found.append("")
            continue
        text = longer
        is_special = token_ids[end - 1] in policy.tokenizer.all_special_ids
        found.append(str(policy.tokenizer.convert_ids_to_tokens(token_ids[end - 1])) if is_special else added)
    return tuple(found)


# A page


def credit_page(maps: Sequence[Credit], *, title: str = "Credit of each token") -> str:
    """One HTML page without scripts and without anything from elsewhere; every text in it is escaped.

    Blue speaks for a token, red against it; the darkest is the largest credit of the page. A number stands behind each
    token, for readers and for screen readers.

    Args:
        maps: shown one after the other.
        title: of the page.
    """
    largest = max((abs(nat) for credit in maps for nat in credit.nats), default=0.0) or 1.0
    return _PAGE.replace("{title}", html.escape(title)).replace(
        "{body}", "".join(_section(credit, largest) for credit in maps)
    )


def credit_json(maps: Sequence[Credit]) -> str:
    """The same as JSON lines: prompt, feedback, tokens and nats of each completion."""
    lines = [
        {
            "messages": [dict(message) for message in credit.messages],
            "feedback": credit.feedback,
            "tokens": list(credit.tokens),
            "nats": list(credit.nats),
        }
        for credit in maps
    ]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def shade(nats: float, largest: float) -> tuple[str, float]:
    """Colour and strength of a credit: blue where it is positive, red where it is negative.

    Args:
        nats: of a token.
        largest: absolute credit that has full strength.

    Example:
        >>> shade(1.0, 2.0), shade(-2.0, 2.0)
        (('blue', 0.5), ('red', 1.0))
    """
    return ("blue" if nats > 0 else "red", min(abs(nats) / largest, 1.0))


_RGB = {"blue": "31,119,180", "red": "214,39,40"}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>
body{font:16px/1.6 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
section{border-top:1px solid #ddd;padding:1em 0}dt{color:#666}dd{margin:0 0 .5em;white-space:pre-wrap}
.map{line-height:2.6}.map span{display:inline-block;padding:0 .15em;border-radius:.2em}
.map span{white-space:pre-wrap;text-align:center}
.map small{display:block;font-size:.6em;line-height:1;color:#444}
</style></head><body><h1>{title}</h1>
<p>Nats by which each token becomes likelier once the feedback was read: blue speaks for it, red against it.</p>
{body}</body></html>
"""


def _section(credit: Credit, largest: float) -> str:
    conversation = "\n".join(f"{message['role']}: {message['content']}" for message in credit.messages)
    feedback = "none: nothing was read" if credit.feedback is None else credit.feedback
    tokens = "".join(_token(text, nats, largest) for text, nats in zip(credit.tokens, credit.nats, strict=True))
    return (
        f"<section><dl><dt>Prompt</dt><dd>{html.escape(conversation)}</dd><dt>Feedback</dt>"
        f"<dd>{html.escape(feedback)}</dd><dt>Completion, {credit.total:+.2f} nats</dt></dl>"
        f'<p class="map">{tokens}</p></section>\n'
    )


def _token(text: str, nats: float, largest: float) -> str:
    colour, strength = shade(nats, largest)
    shown = html.escape(text) or "&#8203;"
    return (
        f'<span style="background:rgba({_RGB[colour]},{0.6 * strength:.2f})">{shown}<small>{nats:+.2f}</small></span>'
    )
