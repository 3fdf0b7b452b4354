"""A record with all that is computed from it: comparisons, boundaries, error rates, first seeds."""

from collections.abc import Iterator, Sequence

from sdpo_ref.claims.comparison import comparisons, count_comparisons
from sdpo_ref.claims.profile import Design
from sdpo_ref.claims.schema import Claim, Collapse, Direction, Equivalence, Grid, Lane, Magnitude, Reproduction
from sdpo_ref.claims.seeds import verdict_seed
from sdpo_ref.claims.statistics.sign_rule import SignRule


def shown(claim: Claim) -> str:
    """The record in lines of text.

    Args:
        claim: to show.
    """
    return "\n".join(_lines(claim))


def _lines(claim: Claim) -> Iterator[str]:
    count = count_comparisons(claim)
    yield f"{claim.id} {claim.title}"
    yield claim.statement
    yield f"estimand: {claim.estimand}"
    yield f"paired: {claim.pairing}"
    yield f"alpha {claim.alpha:g}, beta {claim.beta:g} shared by {count} comparisons, looks {_list(claim.looks)}"
    first = ", ".join(str(verdict_seed(claim.seeds, index)) for index in range(2))
    yield f"seeds: {claim.seeds.claim}, {claim.seeds.setting}: {first}, ..."
    yield f"negative control: {claim.negative_control.mutant}, in {claim.negative_control.part}"
    for part in claim.parts:
        yield ""
        yield f"{part.name}: {part.says}"
        yield f"  {part.lane.kind}, {part.metric}{' (log)' if part.log else ''}, experiment {part.experiment}"
        yield f"  {_decided(part.lane, Design(claim.looks, claim.alpha, claim.beta), count)}"
        yield f"  {len(comparisons(part))} comparisons: {'; '.join(one.name for one in comparisons(part))}"


def _decided(lane: Lane, design: Design, count: int) -> str:
    match lane:
        case Direction() | Grid():
            rule = SignRule(design.looks, design.alpha, design.beta, count, lane.least)
            passes, fails = _list(rule.pass_at), _list(rule.fail_at)
            return f"PASS from {passes} wins, FAIL up to {fails}; less than {lane.resolution:g} is a tie"
        case Magnitude():
            return f"claimed {_list(lane.claimed)}, tolerated {_list(lane.tolerated)}"
        case Equivalence() | Reproduction():
            return f"margin {lane.margin:g}"
        case Collapse():
            return f"below {lane.most:g}; {lane.usual:g} is nobody's fault"


def _list(numbers: Sequence[float | int | None]) -> str:
    return ", ".join("never" if number is None else f"{number:g}" for number in numbers)
