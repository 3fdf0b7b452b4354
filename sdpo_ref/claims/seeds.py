"""Seeds of verdicts: a hash of what is asked, so that nobody can choose them."""

import hashlib

from sdpo_ref import SPEC_VERSION
from sdpo_ref.claims.schema import Seeds

_BYTES = 8


def verdict_seed(seeds: Seeds, index: int, *, spec_version: str = SPEC_VERSION) -> int:
    """The seed of one repeat: the first eight bytes of SHA-256(spec version | claim | setting | index).

    Implements: STAT-011.

    Args:
        seeds: of a claim.
        index: of the repeat, from 0.
        spec_version: of the specification that registered the claim.

    Returns:
        A number from 0 to 2^64 - 1, big end first.

    Example:
        >>> verdict_seed(Seeds(claim="F01", setting="default"), 0, spec_version="0.2")
        8891217852884061847
    """
    name = f"{spec_version}|{seeds.claim}|{seeds.setting}|{index}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:_BYTES], "big")
