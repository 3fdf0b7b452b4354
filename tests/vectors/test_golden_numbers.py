"""The derivation gives the numbers that were printed from upstream functions (typed in to the printed digits)."""

from collections.abc import Iterator

import pytest
from mpmath import acosh, exp, inf, log, mpf, workdps

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.vectors.derivation.defects import (
    COMPARISONS,
    DENOMINATORS,
    RATIOS,
    TAIL_DEFECTS,
    TOP_K_DEFECTS,
    arithmetic_region,
)
from sdpo_ref.vectors.derivation.divergence import TokenSupport, generalized_divergence, most_likely, token_divergence
from sdpo_ref.vectors.derivation.hybrid import group_advantages
from sdpo_ref.vectors.derivation.loss import AGGREGATIONS, Batch, LossOptions, importance_ratio, losses
from sdpo_ref.vectors.derivation.numbers import DIGITS, exact, gradient, kl, log_softmax
from sdpo_ref.vectors.derivation.teacher import averages, trust_region

PRINTED = 0.6e-10
"""Half a unit of the tenth printed digit, and a little."""


@pytest.fixture(autouse=True)
def _digits() -> Iterator[None]:
    with workdps(DIGITS):
        yield


def logs(*probabilities: str) -> list[mpf]:
    return [log(mpf(p)) for p in probabilities]


def three() -> tuple[list[mpf], list[mpf]]:
    return logs(".5", ".3", ".2"), logs(".2", ".6", ".2")


def five() -> tuple[list[mpf], list[mpf]]:
    return logs(".40", ".25", ".20", ".10", ".05"), logs(".10", ".45", ".08", ".30", ".07")


@pytest.mark.parametrize(
    ("alpha", "printed"),
    [
        ("0", 0.2326301620),
        (".01", 0.0023023333),
        (".1", 0.0208920966),
        (".25", 0.0435492538),
        (".5", 0.0586920127),
        (".75", 0.0450795080),
        (".9", 0.0221120522),
        (".99", 0.0024721113),
        ("1", 0.2502012118),
    ],
)
def test_divergence_of_three_tokens(alpha: str, printed: float) -> None:
    """The table of alpha is reproduced to its ten printed digits."""
    assert abs(generalized_divergence(*three(), mpf(alpha)) - printed) < PRINTED


@pytest.mark.parametrize(
    ("defect", "alpha", "printed"),
    [
        ("M006 coefficients swapped", ".1", 0.1692716861),
        ("M006 coefficients swapped", ".25", 0.1020149626),
        ("M006 coefficients swapped", ".75", 0.1023823453),
        ("M006 coefficients swapped", ".9", 0.1764197648),
        ("M010 mixture weights swapped", ".1", 0.1764197648),
        ("M010 mixture weights swapped", ".25", 0.1023823453),
        ("M010 mixture weights swapped", ".75", 0.1020149626),
        ("M010 mixture weights swapped", ".5", 0.0586920127),
        ("mixture of log-probabilities, not normalised", ".25", 0.0905308826),
        ("mixture of log-probabilities, not normalised", ".5", 0.1207078434),
        ("M015 mixture of log-probabilities, normalised", ".5", 0.0593555313),
        ("M011 inner KL reversed", ".5", 0.0620158307),
        ("M001 student and teacher swapped", "0", 0.2502012118),
        ("M016 mixture formula used at the ends of alpha", "0", 0.0),
    ],
)
def test_wrong_divergences_of_three_tokens(defect: str, alpha: str, printed: float) -> None:
    """Known defects give the numbers that were printed for them."""
    assert abs(COMPARISONS[defect](*three(), mpf(alpha)) - printed) < PRINTED


def test_clipped_terms() -> None:
    """Terms clipped before the sum turn 2.0752 into -0.1889 for a confident student."""
    student, teacher = logs(".97", ".01", ".01", ".01"), logs(".25", ".25", ".25", ".25")
    assert abs(generalized_divergence(student, teacher, mpf(0)) - 2.0752) < 5e-5
    assert abs(COMPARISONS["M019 vocabulary terms clipped before the sum"](student, teacher, mpf(0)) + 0.1889) < 1e-4


@pytest.mark.parametrize(
    ("alpha", "printed"),
    [
        ("1", [0.3330447601, -0.2830045177, -0.0500402424]),
        ("0", [0.3, -0.3, 0.0]),
        (".5", [0.0749942511, -0.0693244571, -0.0056697940]),
    ],
)
def test_gradients_of_three_tokens(alpha: str, printed: list[float]) -> None:
    """Central differences reproduce the printed gradients."""
    student, teacher = three()
    found = gradient(lambda z: generalized_divergence(log_softmax(z), teacher, mpf(alpha)), student)
    assert [abs(got - want) < PRINTED for got, want in zip(found, printed, strict=True)] == [True] * 3


FULL = (0.4057080477, 0.4641443839, 0.1029554110, 0.0757797304)


@pytest.mark.parametrize(
    ("support", "printed"),
    [
        (TokenSupport("full"), FULL),
        (TokenSupport("top_k_tail", 1), (0.2262891612, 0.3112386796, 0.0632878244, 0.0445515348)),
        (TokenSupport("top_k_tail", 2), (0.2389660558, 0.3196110283, 0.0658060954, 0.0466555137)),
        (TokenSupport("top_k_renormalized", 2), (0.3959169267, 0.4599783434, 0.1022316284, 0.0748057130)),
        (TokenSupport("top_k_tail", 3), (0.3866323578, 0.4553990679, 0.0999742480, 0.0730358235)),
        (TokenSupport("top_k_renormalized", 3), (0.3829630452, 0.3955766753, 0.0937475399, 0.0704173658)),
        (TokenSupport("top_k_renormalized", 4), (0.4321967438, 0.4850047023, 0.1086506996, 0.0803248475)),
        (TokenSupport("top_k_tail", 4), FULL),
        (TokenSupport("top_k_tail", 5), FULL),
        (TokenSupport("top_k_renormalized", 5), FULL),
        (TokenSupport("top_k_renormalized", 1), (0.0, 0.0, 0.0, 0.0)),
        (TokenSupport("top_k_tail", 2, "teacher"), (0.3552098245, 0.3642745442, 0.0866863444, 0.0651659694)),
        (TokenSupport("top_k_renormalized", 2, "teacher"), (0.0299768624, 0.0284032089, 0.0072718119, 0.0055318125)),
    ],
)
def test_divergence_of_five_tokens(support: TokenSupport, printed: tuple[float, ...]) -> None:
    """The table of supports is reproduced for forward, reverse, alpha .5 and alpha .25."""
    found = [token_divergence(*five(), alpha=mpf(alpha), support=support) for alpha in ("0", "1", ".5", ".25")]
    assert [abs(got - want) < PRINTED for got, want in zip(found, printed, strict=True)] == [True] * 4


def test_top_k_without_tail_or_renormalisation() -> None:
    """The sum over the raw top-2 is .12587 forward and .40757 reverse."""
    defect, support = TOP_K_DEFECTS["M041 neither tail nor renormalisation"], TokenSupport("top_k_tail", 2)
    assert abs(defect(*five(), mpf(0), support) - 0.1258745631) < PRINTED
    assert abs(defect(*five(), mpf(1), support) - 0.4075710782) < PRINTED


@pytest.mark.parametrize(("mass", "printed"), [("1e-8", 3.398), ("1e-10", 4.319), ("1e-12", 5.240)])
def test_small_tails(mass: str, printed: float) -> None:
    """The exact tail moves on where the published clamp stays at 2.937."""
    tail = mpf(mass)
    student = logs(".5", ".3", ".1", ".06", ".04")
    teacher = [log(p) for p in (mpf(".9"), mpf(".1") - tail, tail / 5, tail / 2, 3 * tail / 10)]
    support = TokenSupport("top_k_tail", 2)
    assert abs(token_divergence(student, teacher, alpha=mpf(1), support=support) - printed) < 5e-4
    assert abs(TAIL_DEFECTS["M043 tail mass clamped at 1e-7"](student, teacher, mpf(1), support) - 2.937) < 5e-4


@pytest.mark.parametrize(
    ("new", "old", "ratio", "two_sided"),
    [(".4", ".1", 2.0, 2.0), (".3", ".2", 1.5, 1.5), (".05", ".2", 0.25, 0.5)],
)
def test_importance_ratio(new: str, old: str, ratio: float, two_sided: float) -> None:
    """Ratios 4, 1.5 and .25 at cap 2 are truncated above only."""
    arguments = (log(mpf(new)), log(mpf(old)), mpf(2))
    assert abs(importance_ratio(*arguments) - ratio) < PRINTED
    assert abs(RATIOS["M084 ratio clipped on both sides"].ratio(*arguments) - two_sided) < PRINTED


def test_extreme_ratio() -> None:
    """Log-ratios beyond 20 count as 20."""
    assert importance_ratio(mpf(0), mpf(-10000), mpf("1e12")) == exp(mpf(20))
    assert importance_ratio(mpf(-10000), mpf(0), mpf(2)) == exp(mpf(-20))


@pytest.mark.parametrize(
    ("recipe", "printed"),
    [
        ("correct", (3.6, 4.0, 8 / 3, 9.0, 4.5)),
        ("M125 denominator counts rows without a teacher", (2.0,)),
        ("M126 denominator is rollouts times padded length", (1.5,)),
    ],
)
def test_aggregation_example(recipe: str, printed: tuple[float, ...]) -> None:
    """Token losses 1 2 3 | 4 8 | (unused row) aggregate to 3.6, 4, 2.6667, 9 and 4.5."""
    batch = aggregation_batch()
    options = LossOptions(alpha=mpf(1), support=TokenSupport("full"), temperature=mpf(1), ratio_cap=None)
    found = losses(batch, options) if recipe == "correct" else losses(batch, options, DENOMINATORS[recipe])
    assert [float(found[name]) for name in AGGREGATIONS][: len(printed)] == pytest.approx(printed, rel=1e-14)


def aggregation_batch() -> Batch:
    """Reverse KL of the uniform student to logits (0, d) is log cosh(d / 2), so d = 2 acosh(exp(value))."""
    values = [[1, 2, 3, 9], [4, 8, 9, 9], [5, 5, 5, 5]]
    return Batch(
        student_logits=[[exact([0.0, 0.0]) for _ in row] for row in values],
        teacher_logits=[[[mpf(0), 2 * acosh(exp(mpf(value)))] for value in row] for row in values],
        completions=[[0] * 4] * 3,
        completion_mask=[[True, True, True, False], [True, True, False, False], [True] * 4],
        self_distillation_mask=[True, True, False],
    )


def test_sampled_token() -> None:
    """With log S = -.5 and log T = -1 the surrogate is -.25, which no KL could be."""
    rest = [log(1 - exp(mpf(value))) for value in ("-.5", "-1")]
    batch = Batch([[[mpf("-.5"), rest[0]]]], [[[mpf(-1), rest[1]]]], [[0]], [[True]], [True])
    options = LossOptions(alpha=mpf(1), support=TokenSupport("sampled_token"), temperature=mpf(1), ratio_cap=None)
    assert abs(losses(batch, options)["token_mean"] + 0.25) < 1e-40


def test_trust_region() -> None:
    """The geometric mixture of (.7, .2, .1) and (.2, .5, .3) at .25, and the arithmetic defect."""
    reference, student = logs(".7", ".2", ".1"), logs(".2", ".5", ".3")
    printed = [0.5719004009, 0.2810310913, 0.1470685077]
    assert [float(exp(v)) for v in trust_region(reference, student, mpf(".25"))] == pytest.approx(printed, abs=PRINTED)
    wrong = [exp(v) for v in arithmetic_region(reference, student, mpf(".25"))]
    assert [float(v) for v in wrong] == pytest.approx([0.575, 0.275, 0.15], abs=PRINTED)
    swapped = [float(exp(v)) for v in trust_region(student, reference, mpf(".25"))]
    assert swapped == pytest.approx([0.3042, 0.4422, 0.2535], abs=6e-5)


def test_average_over_two_steps() -> None:
    """At rate .25 a weight 0 that follows 1, then 3, is .25, then .9375."""
    assert averages(exact([0.0]), [exact([1.0]), exact([3.0])], mpf(".25")) == [[mpf(".25")], [mpf(".9375")]]


def test_group_advantages_are_not_standardised() -> None:
    """Rewards 1 0 0 0 give .75 and -.25."""
    assert group_advantages(exact([1.0, 0.0, 0.0, 0.0]), [7, 7, 7, 7]) == [mpf(".75")] + [mpf("-.25")] * 3


def test_ties_are_refused() -> None:
    """A top-k between equally likely tokens is undefined, so no vector may ask for it."""
    with pytest.raises(InvalidInputError, match="tie for place 2"):
        most_likely(exact([3.0, 1.0, 1.0]), 2)


def test_kl_with_tokens_without_mass() -> None:
    """0 log 0 is zero; mass where the other side has none is infinitely far away."""
    narrow, wide = [mpf(0), -inf], logs(".5", ".5")
    assert abs(kl(narrow, wide) - log(2)) < 1e-40
    assert kl(wide, narrow) == inf
    assert kl(narrow, narrow) == 0
