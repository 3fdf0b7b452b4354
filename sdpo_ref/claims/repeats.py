"""How often a verdict comes out how: the whole procedure, over and over, on stored runs drawn without replacement."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.rates import Repeats
from sdpo_ref.claims.schema import Claim, Part
from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.claims.stored import Stored
from sdpo_ref.claims.verdict import judge

PROMOTING, CONFIRMING = 0, 1
"""Seeds of the orders in which parts are promoted, and in which what is asked is confirmed."""


def repeat(
    wanted: Mapping[str, Sequence[Part]],
    claims: Sequence[Claim],
    folder: Path,
    *,
    profile: ProfileName,
    repeats: int,
    seed: int,
) -> Repeats:
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
        How often which verdict was reached, claim by claim and part by part.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name, parts in wanted.items() if parts}
    of_parts = {name: {part.name: Counter[str]() for part in wanted[name]} for name in found}
    counts = {claim.id: Stored(folder).count(claim.seeds) for claim in claims}
    for number in range(repeats):
        for claim in claims:
            if not wanted.get(claim.id):
                continue
            order = list(range(counts[claim.id]))
            random.Random(f"{seed}|{claim.id}|{number}").shuffle(order)  # noqa: S311 - no secret
            source = Stored(folder, tuple(order))
            (verdict,) = judge({claim.id: wanted[claim.id]}, claims, fresh=source, stored=source, profile=profile)
            found[claim.id][_word(verdict.ruling)] += 1
            for answer in verdict.answers:
                of_parts[claim.id][answer.question.part.name][_word(answer.ruling)] += 1
    stored = {name: counts[name] for name in found}
    return Repeats(profile=profile, repeats=repeats, stored=stored, rulings=found, parts=of_parts)


def _word(ruling: Ruling | None) -> str:
    return "NOT-RUN" if ruling is None else ruling.value
