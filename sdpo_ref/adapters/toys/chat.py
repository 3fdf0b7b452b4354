"""A tokenizer with one token for each character, and the way back from its token ids to chat messages."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from sdpo_ref.protocols.parts import Message, TeacherContext

_PAD, _END_OF_SEQUENCE, _START, _END = "<|pad|>", "<|eos|>", "<|start|>", "<|end|>"
_TEMPLATE = (
    "{% for message in messages %}"
    "<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def character_tokenizer(texts: Iterable[str]) -> Any:
    """A ``PreTrainedTokenizerFast`` in memory that knows the characters of some texts, and printable ASCII.

    Apart from four special tokens (padding, end of sequence, start and end of a message) every token is one
    character, so that a length in tokens can be counted by hand. The chat template writes roles as text between
    special tokens, as ChatML does. Padding and truncation sides are left at the library's defaults.
    """
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    specials = [_PAD, _END_OF_SEQUENCE, _START, _END]
    characters = {chr(code) for code in range(32, 127)} | {"\n", "\t"} | {c for text in texts for c in text}
    vocabulary = {token: index for index, token in enumerate([*specials, *sorted(characters)])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=_PAD,
        eos_token=_END_OF_SEQUENCE,
        additional_special_tokens=[_START, _END],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def read_messages(text: str) -> tuple[Message, ...]:
    r"""The chat messages of a prompt that the template of :func:`character_tokenizer` rendered.

    The header that invites the answer is left out. What a truncation left of a message is kept: text before the
    first header gets the role ``""``, and a message without its end is as long as it is.

    Example:
        >>> read_messages("<|start|>user\nHello<|end|>\n<|start|>assistant\n")
        ({'role': 'user', 'content': 'Hello'},)
        >>> read_messages("ello<|end|>\n")
        ({'role': '', 'content': 'ello'},)
    """
    headless, *pieces = text.split(_START)
    messages = [{"role": "", "content": headless.partition(_END)[0]}] if headless else []
    for piece in pieces:
        role, _, rest = piece.partition("\n")
        messages.append({"role": role, "content": rest.partition(_END)[0]})
    if pieces and pieces[-1] == "assistant\n":
        messages.pop()
    return tuple(messages)


def read_contexts(batch: Mapping[str, Tensor], tokenizer: Any, *, time: int) -> tuple[TeacherContext, ...]:
    """The teacher's context of each row of a training batch.

    Args:
        batch: holds ``teacher_input_ids``, ``teacher_attention_mask`` and ``self_distillation_mask``.
        tokenizer: from :func:`character_tokenizer`.
        time: length of the padded completions, which end the teacher's input.
    """
    rows = zip(
        batch["teacher_input_ids"][:, :-time],
        batch["teacher_attention_mask"][:, :-time].bool(),
        batch["self_distillation_mask"].bool().tolist(),
        strict=True,
    )
    return tuple(TeacherContext(read_messages(tokenizer.decode(ids[counted])), usable) for ids, counted, usable in rows)
