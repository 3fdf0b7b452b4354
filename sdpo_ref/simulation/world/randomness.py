"""Counter-based randomness: every stream of random numbers is a function of its name alone (SIM-001).

A run that adds a metric, skips a step or resumes after a kill sees the same numbers as before, and two methods that
ask for the stream of the same seed, step and purpose share their noise.
"""

import hashlib
import json

import torch

_SEED_BYTES = 8


def random_stream(seed: int, *path: int | str) -> torch.Generator:
    """A fresh generator that depends on the seed and on the path, and on nothing else.

    The name ``[seed, *path]``, written as JSON so that ``1`` and ``"1"`` differ, is hashed to the generator's seed.
    PyTorch's CPU generator uses 32 bits of it: among n streams about n²/2³³ pairs coincide, which is below 1e-4 for
    the 800 streams of a run of 200 steps.
    Implements: SIM-001.

    Args:
        seed: the run's seed.
        path: what the numbers are for, such as a step and a purpose: ``random_stream(seed, step, "rollouts")``.

    Returns:
        A CPU generator at its beginning.

    Example:
        >>> again = [torch.rand(1, generator=random_stream(7, 0, "rollouts")).item() for _ in range(2)]
        >>> again[0] == again[1] != torch.rand(1, generator=random_stream(7, 0, "judgements")).item()
        True
    """
    name = json.dumps([seed, *path], ensure_ascii=True)
    digest = hashlib.sha256(name.encode("ascii")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:_SEED_BYTES], "little", signed=True))
