"""A transformers model as a policy: logits, hidden states, sampling, weights, and prompts from chat messages."""

import copy
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.functional.aggregation import completion_mask
from sdpo_ref.functional.log_probs import log_probs, require_temperature, token_log_probs
from sdpo_ref.lm.head import head_of
from sdpo_ref.lm.texts import completion_texts
from sdpo_ref.protocols.parts import Message
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.teachers.chat import ChatPrompts, ChatRollouts, encoded
from sdpo_ref.teachers.context import Template
from sdpo_ref.teachers.reprompt import Reprompter
from sdpo_ref.types import Head, Prompts, Rollouts


class TransformersPolicy:
    r"""A causal language model of transformers with its tokenizer; implements :class:`~sdpo_ref.protocols.Policy`.

    .. math::
        \pi(v \mid x, y_{<t}) = \mathrm{softmax}(z(x, y_{<t}) / \tau)_v

    The temperature belongs to the policy: it divides every logit that leaves it, those of a teacher made from it
    included (POLICY-003), so a trainer's own temperature stays at 1. Prompts may be padded on either side and with
    any id; positions are counted from the first token that is not padding, and what stands between the first and the
    last counted token of a completion is attended, whether it counts or not.
    Implements: POLICY-001, POLICY-003, POLICY-004.

    Args:
        model: maps ``input_ids``, ``attention_mask`` and, if it has them, ``position_ids`` to ``logits``. It is put
            into evaluation mode: with dropout, sampling, student and teacher would be three policies.
        tokenizer: with a chat template.
        temperature: τ, positive and finite.
        end_ids: every id that ends a completion; ``None`` takes those of the model's generation settings and of the
            tokenizer.
        thinking: what the chat template is told about its reasoning trace, as ``enable_thinking``; ``None`` leaves it
            to the template.

    Raises:
        InvalidInputError: if the temperature is out of range, or the tokenizer has no chat template.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        temperature: float = 1.0,
        end_ids: Collection[int] | None = None,
        thinking: bool | None = None,
    ) -> None:
        require_temperature(temperature)
        if not getattr(tokenizer, "chat_template", None):
            raise InvalidInputError(
                f"received a {type(tokenizer).__name__} without a chat template; allowed is one with it, as instructed "
                "models have, so set tokenizer.chat_template"
            )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.temperature = temperature
        self.thinking = thinking
        self.end_ids = frozenset(_end_ids(model, tokenizer) if end_ids is None else end_ids)

    @classmethod
    def load(cls, folder: str, *, dtype: torch.dtype = torch.float32, **options: Any) -> "TransformersPolicy":
        """A model and its tokenizer from a local folder, as ``save_pretrained`` writes it; nothing is fetched.

        Args:
            folder: with configuration, safetensors and tokenizer.
            dtype: of the weights. An average in half precision would not move, so an EMA teacher needs float32.
            options: of the constructor.

        Raises:
            UnsupportedError: if transformers is not installed.
        """
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise UnsupportedError("transformers is not installed; run pip install 'sdpo-ref[lm]'") from error
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, use_safetensors=True)
        return cls(model, AutoTokenizer.from_pretrained(folder, local_files_only=True), **options)

    def save(self, folder: str) -> None:
        """Write model (safetensors) and tokenizer into a folder that :meth:`load` reads."""
        self.model.save_pretrained(folder)  # type: ignore[operator]  # a method of every transformers model
        self.tokenizer.save_pretrained(folder)

    def __deepcopy__(self, memo: dict[int, object]) -> "TransformersPolicy":
        """Another model with the same weights, and the same tokenizer: it has no state of a policy."""
        return TransformersPolicy(
            copy.deepcopy(self.model, memo),
            self.tokenizer,
            temperature=self.temperature,
            end_ids=self.end_ids,
            thinking=self.thinking,
        )

    # Text

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of chat messages in the model's template, with the header that invites an answer."""
        options = {} if self.thinking is None else {"enable_thinking": self.thinking}
        chat = [dict(message) for message in messages]
        rendered = self.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=True, **options
        )
        return [int(token_id) for token_id in rendered["input_ids"]]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of a completion without its special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def texts(self, rollouts: Rollouts) -> list[str]:
        """What each completion says; tokens that do not count are left out."""
        return completion_texts(rollouts, self.decode)

    def prompts(self, questions: Sequence[str | Sequence[Mapping[str, Any]]], *, group_size: int = 1) -> ChatPrompts:
        """Prompts to sample from: each question so many times, the rows of one question beside each other.

        Args:
            questions: chat messages, or a text that stands for one message from the user.
            group_size: completions of each question.

        Returns:
            Prompts with their messages; row ``i`` belongs to group ``i // group_size``.

        Raises:
            InvalidInputError: if the group size is below one, a conversation does not end with the user, or a message
                holds something else than text.
        """
        if group_size < 1:
            raise InvalidInputError(f"group_size must be at least 1, received {group_size}; RLOO and GRPO need 2")
        conversations = [it for question in questions for it in [_conversation(question)] * group_size]
        group_ids = torch.arange(len(questions)).repeat_interleave(group_size)
        return encoded(conversations, group_ids.to(self._device), encode=self.encode)

    def reprompter(self, rules: ContextRules, *, template: Template | None = None) -> Reprompter:
        """How this policy, or an average of it, reads a judgement: through its chat template, by our context rules.

        Args:
            rules: which demonstration and which feedback are shown.
            template: the words around them.
        """
        return Reprompter(self.encode, self.decode, rules, template or Template())

    # Scores

    def logits(
        self,
        prompts: Prompts,
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, "rollout time vocab"]:
        """Scores for completion token ``t``, divided by the temperature. Gradient flows into the weights.

        Args:
            prompts: of at least one token each.
            completions: token ids, scored verbatim (POLICY-005).
            completion_mask: True where a token counts; nothing after the last of a row is attended.

        Returns:
            In the dtype of the model; finite and meaningless where the mask is False.

        Raises:
            InvalidInputError: if a prompt is empty, or a row has more tokens than the model has positions.
        """
        time = completions.shape[1]
        inputs = self._inputs(prompts, completions, completion_mask)
        if "logits_to_keep" in self._arguments:
            inputs["logits_to_keep"] = max(time, 1)
        scores: Tensor = self.model(**inputs, use_cache=False).logits
        scores = scores[:, scores.shape[1] - time :]
        return scores if self.temperature == 1.0 else scores / self.temperature

    def hidden(
        self,
        prompts: Prompts,
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, "rollout time hidden"]:
        """The last hidden states, from which :attr:`head` makes the model's logits. Gradient flows into the weights.

        Arguments and errors are those of :meth:`logits`. A :class:`~sdpo_ref.types.HiddenBatch` of them needs memory
        for no logits; the temperature is then the loss's argument.
        """
        time = completions.shape[1]
        decoder: nn.Module = _base(self.model).get_decoder()
        inputs = self._inputs(prompts, completions, completion_mask)
        states: Tensor = decoder(**inputs, use_cache=False).last_hidden_state
        return states[:, states.shape[1] - time :]

    @property
    def head(self) -> Head:
        """The model's last layer, live: gradient flows into its weight.

        Raises:
            UnsupportedError: if the model makes logits of its hidden states in another way than by one matrix.
        """
        return head_of(_base(self.model))

    def sample(self, prompts: Prompts, *, num_tokens: int, generator: torch.Generator) -> Rollouts:
        """One completion for each prompt, token by token with a cache of keys and values.

        Implements: POLICY-006.

        Args:
            prompts: from :meth:`prompts`, so that their messages are known; or token ids alone.
            num_tokens: most tokens of a completion, the end included.
            generator: where the randomness comes from.

        Returns:
            Rollouts with the log-probability of each token under this policy, temperature included; zeros after the
            end. They are :class:`~sdpo_ref.teachers.chat.ChatRollouts` if the prompts have messages.

        Raises:
            InvalidInputError: if ``num_tokens`` is below one, a prompt is empty, or the model has too few positions.
        """
        if num_tokens < 1:
            raise InvalidInputError(f"num_tokens must be at least 1, received {num_tokens}")
        token_ids, mask = self._left(prompts)
        self._require_room(mask, num_tokens - 1)
        inputs: dict[str, Any] = {"input_ids": token_ids, "attention_mask": mask.long(), **self._positions(mask)}
        if "logits_to_keep" in self._arguments:
            inputs["logits_to_keep"] = 1
        going, ends = torch.ones_like(mask[:, 0]), torch.tensor(sorted(self.end_ids), device=mask.device)
        tokens: list[Tensor] = []
        chosen: list[Tensor] = []
        with torch.no_grad():
            for _ in range(num_tokens):
                output = self.model(**inputs, use_cache=True)
                scores = log_probs(output.logits[:, -1], temperature=self.temperature)
                drawn = torch.multinomial(scores.exp().to(generator.device), 1, generator=generator).to(mask.device)
                tokens.append(torch.where(going, drawn[:, 0], 0))
                chosen.append(torch.where(going, token_log_probs(scores, drawn[:, 0]), 0.0))
                mask = torch.cat([mask, going[:, None]], dim=-1)
                going = going & ~torch.isin(tokens[-1], ends)
                if not bool(going.any()):
                    break
                inputs |= {"input_ids": tokens[-1][:, None], "attention_mask": mask.long()}
                inputs |= {name: places[:, -1:] for name, places in self._positions(mask).items()}
                inputs["past_key_values"] = output.past_key_values
        completions = torch.stack(tokens, dim=-1)
        counted = completion_mask(completions, end_ids=self.end_ids)
        log_likelihood = torch.stack(chosen, dim=-1)
        if isinstance(prompts, ChatPrompts):
            return ChatRollouts(prompts, completions, counted, log_likelihood)
        return Rollouts(prompts, completions, counted, log_likelihood)

    # Weights

    def weights(self) -> Mapping[str, Tensor]:
        """Parameters and buffers by name, live; a tied weight once.

        Raises:
            UnsupportedError: for a model with adapters: the average of low-rank factors is not the average of their
                product (TEACH-027).
        """
        if hasattr(self.model, "peft_config"):
            raise UnsupportedError(
                "the weights of a model with adapters are factors, and averaging them is another teacher (TEACH-027); "
                "use LowRankEmaTeacher, FrozenTeacher or LiveTeacher, or merge the adapters"
            )
        return {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}

    # What the model reads

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def _arguments(self) -> Collection[str]:
        """Names of the arguments of the model's forward pass; adapters pass on any."""
        return inspect.signature(_base(self.model).forward).parameters

    def _inputs(self, prompts: Prompts, completions: Tensor, counts: Tensor) -> dict[str, Any]:
        """Prompt and completion in one row, without the last token, whose successor is not scored."""
        token_ids, mask = self._left(prompts)
        completions, counts = completions.to(token_ids), counts.to(mask.device)
        attended = counts.flip(-1).cumsum(-1).flip(-1) > 0  # up to the last that counts
        token_ids = torch.cat([token_ids, torch.where(attended, completions, 0)], dim=-1)[:, :-1]
        mask = torch.cat([mask, attended], dim=-1)[:, :-1]
        self._require_room(mask)
        return {"input_ids": token_ids, "attention_mask": mask.long(), **self._positions(mask)}

    def _left(self, prompts: Prompts) -> tuple[Int[Tensor, "rollout prompt"], Bool[Tensor, "rollout prompt"]]:
        """Prompts with all padding on the left and of id 0, on the model's device."""
        token_ids, mask = prompts.token_ids.to(self._device).long(), prompts.mask.to(self._device)
        if not bool(mask.any(-1).all()):
            empty = (~mask.any(-1)).nonzero()[:, 0].tolist()
            raise InvalidInputError(
                f"the prompts of rows {empty[:4]} have no token; give each at least one, as a chat template does"
            )
        order = mask.long().argsort(dim=-1, stable=True)
        mask = mask.gather(-1, order)
        return torch.where(mask, token_ids.gather(-1, order), 0), mask

    def _require_room(self, mask: Tensor, further: int = 0) -> None:
        """Refuse rows that are longer than what the model was made for: many models go on in silence, and wrongly."""
        most = getattr(_base(self.model).config, "max_position_embeddings", None)
        longest = int(mask.sum(-1).max()) + further if mask.shape[0] else 0
        if most is not None and longest > most:
            raise InvalidInputError(
                f"a prompt with its completion has {longest} tokens before the last, and the model {most} positions; "
                "shorten the completion (num_tokens), or what the teacher reads (ContextRules(max_length=...))"
            )

    def _positions(self, mask: Tensor) -> dict[str, Tensor]:
        """Positions counted from the first token, if the model is given any."""
        if "position_ids" not in self._arguments:
            return {}
        return {"position_ids": (mask.long().cumsum(-1) - 1).clamp(min=0)}


def _base(model: nn.Module) -> Any:
    """The model under its adapters, if it has any."""
    return model.get_base_model() if hasattr(model, "peft_config") else model  # type: ignore[operator]  # of PEFT


def _end_ids(model: nn.Module, tokenizer: Any) -> set[int]:
    """What ends a completion by the model's generation settings and by the tokenizer."""
    settings = getattr(model, "generation_config", None)
    found = getattr(settings, "eos_token_id", None)
    of_model = [found] if isinstance(found, int) else list(found or [])
    of_tokenizer = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return {int(token_id) for token_id in (*of_model, *of_tokenizer)}


def _conversation(question: str | Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Messages of text that end with the user."""
    if isinstance(question, str):
        return ({"role": "user", "content": question},)
    for message in question:
        if set(message) != {"role", "content"} or not all(isinstance(part, str) for part in message.values()):
            raise InvalidInputError(
                f"received the message {dict(message)!r}; allowed are role and content, both text, so leave out images "
                "and calls of tools, or write them as text"
            )
    if not question or question[-1]["role"] != "user":
        raise InvalidInputError(
            f"a conversation must end with the user, received roles {[message['role'] for message in question]}"
        )
    return tuple({"role": message["role"], "content": message["content"]} for message in question)
