"""How often a verdict comes out how: the whole procedure, over and over, on stored runs drawn without replacement."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.record import Claim, Part
from sdpo_ref.claims.stored import Stored
from sdpo_ref.claims.verdict import judge


def repeat(
    wanted: Mapping[str, Sequence[Part]],
    claims: Sequence[Claim],
    folder: Path,
    *,
    profile: ProfileName,
    repeats: int,
    seed: int = 0,
) -> dict[str, Counter[str]]:
    """Decide claims over and over; each repeat takes the stored seeds in an order of its own.

    Runs are those of the reference distributions, so what is repeated is the procedure with its looks and its mutants.
    Levels are compared with themselves and always hold; whether fresh runs have them is asked of each real run.
    Implements: STAT-010.

    Args:
        wanted: id of a claim to its parts that are asked about.
        claims: all there are.
        folder: of the reference distributions.
        profile: how thorough.
        repeats: how many.
        seed: of the orders.

    Returns:
        Claim to how often which verdict was reached.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name, parts in wanted.items() if parts}
    counts = {claim.id: Stored(folder).count(claim.seeds) for claim in claims}
    for number in range(repeats):
        for claim in claims:
            if not wanted.get(claim.id):
                continue
            order = list(range(counts[claim.id]))
            random.Random(f"{seed}|{claim.id}|{number}").shuffle(order)  # noqa: S311 - no secret
            source = Stored(folder, tuple(order))
            (verdict,) = judge({claim.id: wanted[claim.id]}, claims, fresh=source, stored=source, profile=profile)
            found[claim.id]["NOT-RUN" if verdict.ruling is None else verdict.ruling.value] += 1
    return found
