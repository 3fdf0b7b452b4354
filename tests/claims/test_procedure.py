"""Looks: which runs are wanted, when a comparison is settled, and the outcome of a part."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref.claims.comparison import Metrics
from sdpo_ref.claims.procedure import decide
from sdpo_ref.claims.profile import Design, design_of, is_checked_under
from sdpo_ref.claims.runs import BUNDLED, RunName
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from tests.claims.fakes import Told, leading, question, tiny_claim, tiny_part


def methods(source: Told) -> list[tuple[str, int]]:
    """Method and index of every run that was wanted, each once."""
    return list(dict.fromkeys((str(dict(one.cell.labels)["method"]), one.index) for one in source.asked))


def test_eight_clear_wins_settle_a_comparison_and_no_more_is_run() -> None:
    """Both comparisons pass at the first look, with eight runs of each of three methods."""
    source = Told(leading)
    (answer,) = decide([question(tiny_claim())], source)
    assert answer.outcome is ClaimOutcome.PASS
    assert len(methods(source)) == 3 * 8
    assert [one.decision.seeds for one in answer.compared if one.decision] == [8, 8]


def test_what_has_passed_uses_no_further_seeds() -> None:
    """RLOO is beaten at once, GRPO is level: only SDPO and GRPO go on, to the last look."""

    def level_with_grpo(one: RunName) -> Metrics:
        is_grpo = dict(one.cell.labels)["method"] == "grpo"
        return {"final_reward": 0.6 + (0.01 if one.index % 2 else -0.03)} if is_grpo else leading(one)

    def told(one: RunName) -> Metrics:
        return {"final_reward": 0.6} if dict(one.cell.labels)["method"] == "sdpo" else level_with_grpo(one)

    source = Told(told)
    (answer,) = decide([question(tiny_claim())], source)
    asked = methods(source)
    assert max(index for method, index in asked if method == "rloo") == 7
    assert max(index for method, index in asked if method == "grpo") > 7
    assert answer.compared[0].decision is not None
    assert answer.compared[0].decision.outcome is ClaimOutcome.PASS


def test_one_refuted_comparison_ends_the_part() -> None:
    """GRPO is always ahead: FAIL at the first look, and nothing is run after it, though RLOO is still open."""

    def told(one: RunName) -> Metrics:
        reward = {"grpo": 0.9, "sdpo": 0.6, "rloo": 0.61 if one.index % 2 else 0.57}
        return {"final_reward": reward[str(dict(one.cell.labels)["method"])]}

    source = Told(told)
    (answer,) = decide([question(tiny_claim())], source)
    assert answer.outcome is ClaimOutcome.FAIL
    assert max(index for _, index in methods(source)) == 7


def test_a_run_that_is_missing_leaves_the_part_undecided() -> None:
    """Without the time for its eighth run nothing is decided, and the part says so by having no outcome."""
    (answer,) = decide([question(tiny_claim())], Told(lambda one: leading(one) if one.index < 7 else None))
    assert answer.outcome is None
    assert [len(one.values) for one in answer.compared] == [7, 7]


def test_a_look_for_which_there_is_no_time_is_not_begun() -> None:
    """With time for no look at all the source is not used."""
    source = Told(leading)
    (answer,) = decide([question(tiny_claim())], source, has_time=lambda _look: False)
    assert (answer.outcome, source.asked) == (None, [])


def test_a_value_that_is_missing_makes_the_part_invalid() -> None:
    """A run without the metric, such as one that ended early, is no evidence either way."""
    (answer,) = decide([question(tiny_claim())], Told(lambda one: leading(one) if one.index != 3 else {}))
    assert answer.outcome is ClaimOutcome.INVALID


def test_a_reproduction_compares_with_the_bundled_run_of_the_same_seed() -> None:
    """An implementation that is .004 off is equivalent within .01, one that is .02 off is refuted."""
    part = tiny_part(
        lane={"kind": "reproduction", "margin": 0.01},
        over={},
        terms=[{"weight": 1.0, "cell": {"method": "sdpo", "regime": "scalar"}}],
    )
    for off, outcome in ((0.004, ClaimOutcome.PASS), (0.02, ClaimOutcome.FAIL)):

        def told(one: RunName, off: float = off) -> Metrics:
            return {"final_reward": 0.5 + 0.01 * one.index + (0.0 if one.variant == BUNDLED else off)}

        (answer,) = decide([question(tiny_claim(parts=[part]))], Told(told))
        assert answer.outcome is outcome


@settings(max_examples=30)
@given(st.lists(st.floats(-0.2, 0.2), min_size=64, max_size=64))
def test_looks_decide_what_the_rule_decides_on_the_same_values(gaps: list[float]) -> None:
    """The answer is the rule's own on the whole sequence, however the looks were walked."""

    def told(one: RunName) -> Metrics:
        return {"final_reward": 0.5 + (gaps[one.index] if dict(one.cell.labels)["method"] == "sdpo" else 0.0)}

    claim = tiny_claim(parts=[tiny_part(over={"baseline": ("rloo",)})])
    (answer,) = decide([question(claim)], Told(told))
    decided = answer.compared[0].decision
    assert decided is not None
    values = [0.5 + gap - 0.5 for gap in gaps]
    expected = answer.rule.decide(values)
    assert (decided.outcome, decided.seeds) == (expected.outcome, expected.seeds)


def test_profiles_have_the_looks_and_rates_that_the_specification_names() -> None:
    """Five seeds; the record's own looks; the same looks at 1 % for each claim and 1 % for all together."""
    claim = tiny_claim()
    assert design_of(claim, "smoke", claims=13) == Design((5,), 0.05, 0.01)
    assert design_of(claim, "standard", claims=13) == Design((8, 16, 32, 64), 0.05, 0.01)
    assert design_of(claim, "certify", claims=10) == Design((8, 16, 32, 64), 0.01, 0.001)
    assert is_checked_under(claim, "smoke")
    other = tiny_claim(seeds={"claim": "F06", "setting": "noise"})
    assert not is_checked_under(other, "smoke")
    assert is_checked_under(other, "standard")
