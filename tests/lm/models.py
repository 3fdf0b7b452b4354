"""Tiny models of transformers with random weights, and a tokenizer of characters: nothing is fetched."""

from functools import cache
from typing import Any

import torch

from sdpo_ref.lm.policy import TransformersPolicy

LETTERS = "\n" + "".join(chr(code) for code in range(32, 127))
SPECIAL = ("<pad>", "<end>", "<stop>", "<user>", "<system>", "<assistant>", "<think>", "</think>")
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    "{% endif %}"
)


@cache
def tokenizer() -> Any:
    """One token for each character and each special word; ``<end>`` and ``<stop>`` end a completion."""
    from tokenizers import Tokenizer, decoders
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(BPE(vocab={token: index for index, token in enumerate([*SPECIAL, *LETTERS])}, merges=[]))
    core.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<end>",
        additional_special_tokens=list(SPECIAL[2:]),
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = TEMPLATE
    return made


def llama(seed: int = 0, **settings: Any) -> Any:
    """Rotary positions, grouped heads, norms: 25,000 parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(SPECIAL) + len(LETTERS),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.3,
            **{"eos_token_id": [1, 2], "pad_token_id": 0, "tie_word_embeddings": False, **settings},
        )
    )


def gpt2(seed: int = 0) -> Any:
    """Learned positions, tied head, dropout in training mode."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(SPECIAL) + len(LETTERS),
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=512,
            initializer_range=0.3,
            eos_token_id=1,
            bos_token_id=1,
        )
    )


MODELS = {"llama": llama, "gpt2": gpt2}


def policy(name: str = "llama", **options: Any) -> TransformersPolicy:
    """A policy of one of the models, in float32 as most are."""
    return TransformersPolicy(MODELS[name](), tokenizer(), **options)
