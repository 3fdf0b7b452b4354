"""A tiny language model that reads critiques, shipped as safetensors: for examples and tests, never as evidence.

``language`` (what it was trained on, and which sentences are grammatical), ``recipe`` (how the checkpoint was made). It
reads what is said about colours, tone and length (obeyed in 86 to 97 of 100 answers), and hardly what is said about
places (18 of 100).
"""

from pathlib import Path

from sdpo_ref.lm.policy import TransformersPolicy

CHECKPOINT = Path(__file__).parent / "checkpoint"
"""Configuration, weights and tokenizer, as ``save_pretrained`` writes them."""


def tiny_reader() -> TransformersPolicy:
    """The shipped model in float32: 0.1 million parameters, 90 words, one sentence at a time.

    Raises:
        UnsupportedError: if transformers is not installed.
    """
    return TransformersPolicy.load(str(CHECKPOINT))
