"""How the checkpoint of the tiny reader was made: ``python -m sdpo_ref.lm.reader.recipe FOLDER``, two CPU minutes.

A model is trained from nothing on documents of ``language``, rendered by the chat template and our context rules as a
teacher reads them; only the answer counts. Weights are kept in float16.
"""

import random
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import nn

from sdpo_ref.lm.policy import TransformersPolicy
from sdpo_ref.lm.reader.language import ANIMALS, CALM, COLOURS, HAPPY, NEUTRAL, PLACES, QUESTIONS, VERBS, document
from sdpo_ref.protocols.parts import Attempt, Message
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.teachers.chat import encoded
from sdpo_ref.teachers.context import Template, teacher_contexts

RULES = ContextRules(use_demonstrations=False, feedback_when="always")
"""The teacher reads the critique of its own attempt, and nothing else."""

_SPECIAL = ("<pad>", "<end>", "<user>", "<assistant>", "<unknown>")
_CHAT = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def untrained(seed: int = 0) -> TransformersPolicy:
    """A Llama of 0.1 million parameters, with one token for each word of the language.

    Args:
        seed: of the weights.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(_vocabulary())}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unknown>",
        additional_special_tokens=list(_SPECIAL[2:4]),
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _CHAT
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=128,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
            tie_word_embeddings=True,
        )
    )
    return TransformersPolicy(model, tokenizer)


def train(policy: TransformersPolicy, *, steps: int, batch: int = 64, rate: float = 4e-3, seed: int = 0) -> float:
    """Next-token prediction of the answers.

    Args:
        policy: trained in place.
        steps: of AdamW, with a rate that rises for a twentieth of them and falls to nothing.
        batch: documents in a step.
        rate: the highest.
        seed: of the documents.

    Returns:
        Nats per token of the answer, mean of the last twenty steps.
    """
    draw = random.Random(seed)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    losses = []
    for _ in range(steps):
        documents = [document(draw) for _ in range(batch)]
        answers = [[*policy.tokenizer(answer)["input_ids"], policy.tokenizer.eos_token_id] for *_, answer in documents]
        reads = [_read(question, feedback) for question, feedback, _ in documents]
        prompts = encoded(reads, torch.arange(batch), encode=policy.encode)
        width = max(map(len, answers))
        targets = torch.tensor([answer + [0] * (width - len(answer)) for answer in answers])
        mask = torch.tensor([[True] * len(answer) + [False] * (width - len(answer)) for answer in answers])
        logits = policy.logits(prompts, targets, mask)
        loss = nn.functional.cross_entropy(logits[mask], targets[mask])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return sum(losses[-20:]) / len(losses[-20:])


@cache
def _read(question: str, feedback: str | None) -> tuple[Message, ...]:
    """What a teacher reads of a question and feedback, by our context rules."""
    attempt = Attempt(0, ({"role": "user", "content": question},), "", 0.0, feedback)
    (context,) = teacher_contexts([attempt], RULES)
    return context.messages


def _vocabulary() -> Sequence[str]:
    """Special tokens, then the words of questions, critiques, answers and the default template."""
    words = Template()
    texts = [
        *QUESTIONS,
        NEUTRAL,
        *ANIMALS + COLOURS + VERBS + HAPPY + CALM + PLACES,
        words.feedback_heading,
        words.demonstration_heading,
        words.instruction,
        "Mention and. Do not say or. Use at most words, not. Use at least words. Sound more happy, calm. the in.",
        *map(str, range(1, 13)),
    ]
    found = {word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text.lower())}
    return [*_SPECIAL, *sorted(found)]


def main(folder: str) -> None:
    """Make the checkpoint."""
    torch.set_num_threads(1)
    policy = untrained()
    loss = train(policy, steps=700)
    policy.model.half()
    policy.save(folder)
    sys.stdout.write(f"{loss:.4f} nats a token of the answers; written to {Path(folder).name}\n")


if __name__ == "__main__":
    main(sys.argv[1])
