"""Findings are carried to changed code if runs again give every number that is stored, and stay as they are if not."""

import functools
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sdpo_ref import SPEC_VERSION
from sdpo_ref._resources import content
from sdpo_ref.claims import carry as carrying
from sdpo_ref.claims.carry import SEEDS, Carried, carry, drawn
from sdpo_ref.claims.code import Carry, Code
from sdpo_ref.claims.comparison import Metrics
from sdpo_ref.claims.findings import Findings, findings_of, read_findings, write_findings
from sdpo_ref.claims.outside import read_rewards, write_rewards
from sdpo_ref.claims.published import read_published_findings, write_published_findings
from sdpo_ref.claims.rates import Rates, Repeats, keep_repeats, keep_wrong, read_rates, write_rates
from sdpo_ref.claims.records import record_sha256, released_claims
from sdpo_ref.claims.runs import BUNDLED, Fresh, RunName
from sdpo_ref.claims.schema import Claim
from sdpo_ref.claims.stored import FOLDER, Stored, generate, wanted_columns
from sdpo_ref.claims.verdict import judge
from sdpo_ref.cli import claims as command
from sdpo_ref.cli.claims import app
from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.study.fingerprint import code_fingerprint
from tests.claims.fakes import Told, leading, tiny_claim

STORED = 12
"""Repeats of every cell."""

OLDER = code_fingerprint()
"""That decided; to the command it is the older one, because the newer is faked."""

NEWER = "0123456789abcdef"

Say = Callable[[RunName], Metrics]


@dataclass
class Again(Fresh):
    """Runs again that are answered by a function."""

    implementation: str | None = None
    jobs: int = 1
    say: Say = leading
    asked: list[RunName] = field(default_factory=list)

    def values(self, runs: Collection[RunName]) -> Mapping[RunName, Metrics]:
        """What the function says."""
        self.asked += runs
        return {one: self.say(one) for one in runs}


@dataclass
class Suite:
    """A folder with one decided claim, or two."""

    at: Path
    claims: dict[str, Claim]

    def carry(self, *names: str, fresh: Say = leading, plain: Say = leading) -> Carried:
        """With runs that say what is given."""
        return carry(
            self.conformance, content("spec"), names, fresh=Again(say=fresh), plain=Again(say=plain, using="reference")
        )

    @property
    def conformance(self) -> Path:
        """Where the results are."""
        return self.at / "conformance"

    def state(self) -> dict[str, bytes]:
        """Every file."""
        return {str(path): path.read_bytes() for path in self.at.rglob("*") if path.is_file()}


@functools.cache
def decided() -> Findings:
    """F01, and the same as F02."""
    claim, source = tiny_claim(), Told(leading)
    verdicts = judge({claim.id: claim.parts}, [claim], fresh=source, stored=source, profile="standard")
    found = findings_of(verdicts, None, profile="standard")
    second = found.claims["F01"].model_copy(update={"record": record_sha256(claim.model_copy(update={"id": "F02"}))})
    code = dict.fromkeys(("F01", "F02"), found.code["F01"])
    return found.model_copy(update={"claims": {**found.claims, "F02": second}, "code": code})


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """F01 and F02 on the same seeds, decided by the code that is here; the code is another one since."""
    claims = {name: tiny_claim().model_copy(update={"id": name}) for name in ("F01", "F02")}
    made = Suite(tmp_path, claims)
    generate(claims.values(), claims["F01"].seeds, STORED, Told(leading), made.conformance / FOLDER)
    write_findings(made.conformance, decided())
    monkeypatch.setattr(carrying, "code_fingerprint", lambda world="simulated": f"{NEWER}{world[:0]}")
    monkeypatch.setattr(carrying, "read_claims", lambda _spec: claims)
    return made


def codes(suite: Suite) -> dict[str, Code]:
    """Of every finding."""
    found = read_findings(suite.conformance)
    assert found is not None
    return dict(found.code)


def test_equal_numbers_are_carried_and_it_is_kept_how_many_were_compared(suite: Suite) -> None:
    """By hand: three cells and the mutant's two, at four of twelve repeats. What was decided does not change."""
    before = read_findings(suite.conformance)
    found = suite.carry()
    assert found.differences == []
    found.write(suite.conformance)
    step = Carry(before=OLDER, after=NEWER, compared=5 * SEEDS, of=5 * STORED)
    assert codes(suite) == dict.fromkeys(("F01", "F02"), Code(decided=OLDER, carried=(step,)))
    after = read_findings(suite.conformance)
    assert before is not None
    assert after is not None
    assert after.claims == before.claims
    assert found.says[0] == "F01: 20 of 60 stored runs again, no number differs"


def one_off(wrong: RunName, say: Say = leading) -> Say:
    """One number is off by one unit of float32."""

    def said(one: RunName) -> Metrics:
        value = np.float32(say(one)["final_reward"])
        return {"final_reward": float(np.nextafter(value, np.float32(1)) if one == wrong else value)}

    return said


def drawn_runs(suite: Suite) -> list[RunName]:
    """That have to be run again."""
    claim = suite.claims["F01"]
    indices = drawn(OLDER, NEWER, "F01", STORED)
    return [RunName(claim.seeds, i, *column) for column in wanted_columns([claim], claim.seeds)[0] for i in indices]


def test_a_number_that_is_off_by_one_unit_is_refused_wherever_it_is(suite: Suite) -> None:
    """In each of the runs that are drawn: it is named, with both numbers, and nothing is written."""
    before = suite.state()
    for wrong in drawn_runs(suite):
        found = suite.carry(fresh=one_off(wrong))
        (one,) = found.differences
        assert one.where == (f"F01 at repeat {wrong.index}, {wrong.cell}, {wrong.variant} SDPO, final_reward")
        assert isinstance(one.stored, float)
        assert one.found == np.nextafter(np.float32(one.stored), np.float32(1))
        assert found.write(suite.conformance) == []
    assert suite.state() == before


def test_the_simulator_of_plain_objects_is_compared_too(suite: Suite) -> None:
    """It runs other people's trainers. One run for each method with each kind of feedback; none of it may differ."""
    plain = Again(using="reference")
    carry(suite.conformance, content("spec"), (), fresh=Again(), plain=plain)
    methods = {dict(one.cell.labels)["method"] for one in plain.asked}
    assert methods == {"sdpo", "rloo", "grpo"}
    assert len(plain.asked) == len(methods)
    assert set(plain.asked) <= set(drawn_runs(suite))
    found = suite.carry(plain=one_off(plain.asked[0]))
    assert len(found.differences) == 1


def test_what_is_missing_differs_from_a_number_and_not_from_what_was_missing(suite: Suite) -> None:
    """A run that ended early has no reward; stored without one, it must be so again."""
    assert suite.carry(fresh=lambda _one: {}).differences
    nothing: Say = lambda _one: {"collapsed": 1.0}
    claim = suite.claims["F01"]
    generate([claim], claim.seeds, STORED, Told(nothing), suite.conformance / FOLDER)
    assert suite.carry("F01", fresh=nothing, plain=nothing).differences == []
    (one, *_) = suite.carry("F01").differences
    assert isinstance(one.stored, float)
    assert math.isnan(one.stored)


def test_errors_of_an_identity_are_the_same_below_rounding(suite: Suite) -> None:
    """3e-15 and 2e-15 are both zero; 3e-12 and 2e-12 are not."""
    claim = suite.claims["F01"]
    for size, differs in ((1e-15, False), (1e-12, True)):
        stored: Say = lambda _one, size=size: {"final_reward": 3 * size}  # type: ignore[misc]
        found: Say = lambda _one, size=size: {"final_reward": 2 * size}  # type: ignore[misc]
        generate([claim], claim.seeds, STORED, Told(stored), suite.conformance / FOLDER)
        assert bool(suite.carry("F01", fresh=found, plain=stored).differences) is differs


def test_a_carry_cannot_choose_its_seeds(suite: Suite) -> None:
    """Those with the least hashes of both codes are run again, in every cell; others with any other code."""
    fresh = Again()
    carry(suite.conformance, content("spec"), ("F01",), fresh=fresh, plain=Again())
    assert fresh.asked == drawn_runs(suite)
    sets = {drawn(before, after, "F01", 256) for before in "abc" for after in "abc"}
    assert len(sets) == 9
    assert all(len(set(one)) == SEEDS and set(one) <= set(range(256)) for one in sets)
    many = [index for number in range(500) for index in drawn(str(number), "b", "F01", 8)]
    assert min(many.count(index) for index in range(8)) > 180  # 250 each, were they drawn evenly
    assert set(inspect.signature(command.carry).parameters) == {"names", "jobs", "suite_at"}


def test_a_finding_at_a_time(suite: Suite) -> None:
    """F02 is carried and F01 stays with the code that decided it; then F01 alone is left."""
    suite.carry("F02").write(suite.conformance)
    assert {name: code.now for name, code in codes(suite).items()} == {"F01": OLDER, "F02": NEWER}
    rest = suite.carry()
    assert [line.partition(":")[0] for line in rest.says] == ["F01"]
    rest.write(suite.conformance)
    assert {code.now for code in codes(suite).values()} == {NEWER}
    assert suite.carry().says == []


def test_interrupted_it_writes_nothing(suite: Suite) -> None:
    """Whenever that happens."""
    before = suite.state()

    def stopped(one: RunName) -> Metrics:
        if one.variant != BUNDLED:
            raise KeyboardInterrupt
        return leading(one)

    with pytest.raises(KeyboardInterrupt):
        suite.carry(fresh=stopped)
    assert suite.state() == before


def test_what_was_never_decided_or_is_not_stored_is_refused(suite: Suite) -> None:
    """Each message says which command helps."""
    changed = suite.claims["F02"].model_copy(update={"alpha": 0.01})
    suite.claims["F02"] = changed
    with pytest.raises(
        UsageError, match="F02 was never decided, or its record has changed since; run `sdpo-ref claims"
    ):
        suite.carry()
    assert suite.carry("F01").differences == []
    with pytest.raises(UsageError, match="no claim is called 'F99'"):
        suite.carry("F99")
    (suite.conformance / FOLDER).rename(suite.at / "gone")
    Stored(suite.conformance / FOLDER)
    carrying_again = Suite(suite.at / "other", suite.claims)
    carrying_again.conformance.mkdir(parents=True)
    with pytest.raises(UsageError, match="nothing was decided yet"):
        carrying_again.carry("F01")
    (carrying_again.conformance / "findings.json").write_bytes((suite.conformance / "findings.json").read_bytes())
    with pytest.raises(IntegrityError, match="run `sdpo-ref claims reference F01`"):
        carrying_again.carry("F01")


def repeats(*names: str) -> Repeats:
    """Of claims."""
    return Repeats(profile="standard", repeats=1, stored=dict.fromkeys(names, STORED), outcomes={}, parts={})


def test_rates_on_stored_runs_are_carried_with_their_claims(suite: Suite) -> None:
    """And left where one of the claims was decided anew."""
    keep_repeats(suite.conformance, "promotion", repeats("F01", "F02"))
    keep_repeats(suite.conformance, "reference", repeats("F01", "F03"))
    found = suite.carry()
    found.write(suite.conformance)
    code = read_rates(suite.conformance).code
    step = Carry(before=OLDER, after=NEWER, compared=5 * SEEDS, of=5 * STORED)
    assert code["promotion"] == Code(decided=OLDER, carried=(step,))
    assert code["reference"] == Code(decided=OLDER)
    assert found.says[-1] == "repeat: F03 not carried from the same code; run `sdpo-ref claims repeat --keep`"


@pytest.mark.parametrize("factor", [1.0, 1.0 + 2**-52, 1.0 + 2**-22])
def test_the_power_is_carried_by_one_run_of_every_altered_cell(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """In float32: the last bit of float64 depends on how many runs are computed together."""
    keep_wrong(suite.conformance, "deaf", {"FAIL": 3}, {})
    assert suite.carry().says[-1] == "power: no rewards of deaf are kept; run `sdpo-ref claims power --keep`"
    kept = (0.1, 0.2, 0.3)
    keep_wrong(suite.conformance, "deaf", {"FAIL": 3}, {"a cell": kept})

    def again(_name: str, _claim: Claim, _source: object, indices: Collection[int]) -> dict[str, tuple[float, ...]]:
        return {"a cell": tuple(factor * kept[index] for index in indices)}

    monkeypatch.setattr(carrying, "rewards_of_bad", again)
    found = suite.carry()
    is_another = factor > 1.0 + 2**-52
    assert bool(found.differences) == is_another
    found.write(suite.conformance)
    code = read_rates(suite.conformance).code["wrong"]
    assert code.now == (OLDER if is_another else NEWER)
    if not is_another:
        assert code.carried == (Carry(before=OLDER, after=NEWER, compared=1, of=3),)


@pytest.mark.parametrize("change", [0.0, 1e-6])
def test_the_published_study_and_the_picture_are_done_again_whole(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, change: float
) -> None:
    """Every number of their files is compared, and the first that differs is named."""
    published, rewards = read_published_findings(content("conformance")), read_rewards(content("conformance"))
    assert published is not None
    assert rewards is not None
    write_published_findings(suite.conformance, published)
    write_rewards(suite.conformance, rewards)
    name, kept = next(iter(rewards.rewards.items()))
    moved = {**rewards.rewards, name: kept.model_copy(update={"mean": kept.mean + change})}
    code = {"published": NEWER, "ours": NEWER}
    measured = rewards.model_copy(update={"code": code, "rewards": moved})
    monkeypatch.setattr(carrying, "measure_rewards", lambda *_: measured)
    monkeypatch.setattr(carrying, "decide_published", lambda *_: published.model_copy(update={"code": NEWER}))
    found = suite.carry()
    found.write(suite.conformance)
    after = read_published_findings(suite.conformance)
    assert after is not None
    if change:
        (one,) = found.differences
        assert one.where == f"lead.json, rewards {name} mean"
        assert after == published
    else:
        assert after.code == NEWER
        assert read_rewards(suite.conformance) == measured


def test_rates_of_other_code_stay_with_their_own(tmp_path: Path) -> None:
    """What is measured anew has the new code; defects of other code are dropped, because they stand in one table."""
    old = Rates(
        spec_version=Rates.model_validate(read_rates(content("conformance"))).spec_version,
        code={"promotion": Code(decided="a"), "wrong": Code(decided="a")},
        promotion=repeats("F01"),
        wrong={"deaf": {"FAIL": 1}},
    )
    write_rates(tmp_path, old)
    keep_repeats(tmp_path, "reference", repeats("F02"))
    found = read_rates(tmp_path)
    assert found.promotion == old.promotion
    assert {name: code.now for name, code in found.code.items()} == {"promotion": "a", "wrong": "a", "reference": OLDER}
    keep_wrong(tmp_path, "peeking", {"FAIL": 2}, {"a": (1.0,)})
    keep_wrong(tmp_path, "shuffled", {"FAIL": 3}, {"a": (2.0,)})
    found = read_rates(tmp_path)
    assert found.wrong == {"peeking": {"FAIL": 2}, "shuffled": {"FAIL": 3}}
    assert found.wrong_rewards == {"peeking": {"a": (1.0,)}, "shuffled": {"a": (2.0,)}}
    assert found.code["wrong"] == Code(decided=OLDER)


def test_repeats_of_other_claims_stay_beside_new_ones(tmp_path: Path) -> None:
    """Where they are of code that gives the same numbers and as many; what is measured for all has its own code."""
    carried = Code(decided="a").carry(OLDER, compared=1, of=2)
    for code, several in ((carried, ["F01", "F02"]), (Code(decided="a"), ["F02"])):
        old = Rates(spec_version=SPEC_VERSION, code={"promotion": code}, promotion=repeats("F01", "F02"))
        write_rates(tmp_path, old)
        keep_repeats(tmp_path, "promotion", repeats("F02"))
        found = read_rates(tmp_path)
        assert found.promotion is not None
        assert sorted(found.promotion.stored) == several
        assert found.code["promotion"] == (carried if len(several) == 2 else Code(decided=OLDER))
    keep_repeats(tmp_path, "promotion", repeats("F01", "F02", "F03"))
    assert read_rates(tmp_path).code["promotion"] == Code(decided=OLDER)


def test_a_finding_rests_on_stored_runs_alone() -> None:
    """Whatever a decision on F10 asks for, its mutant included, is in the reference distributions that are compared."""
    claim, stored = released_claims()["F10"], Stored(content("conformance") / FOLDER)
    source = Told(lambda one: stored.values([one]).get(one))
    (verdict,) = judge({claim.id: claim.parts}, [claim], fresh=source, stored=stored, profile="standard")
    columns = set(wanted_columns([claim], claim.seeds)[0])
    assert {(one.cell, one.variant or BUNDLED) for one in source.asked} == columns
    assert verdict.outcome is not None


def test_the_command_as_typed(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused with exit code 1 and both numbers; carried, and said so; then there is nothing to carry."""
    (suite.at / "spec").symlink_to(content("spec"))
    typed, runner = ["carry", "--jobs", "1", "--suite", str(suite.at)], CliRunner()
    say: list[Say] = [one_off(drawn_runs(suite)[0])]
    monkeypatch.setattr(command, "Fresh", lambda *_, **__: Again(say=say[0]))
    before = suite.state()
    done = runner.invoke(app, typed)
    assert done.exit_code == 1
    first, last = done.output.splitlines()[0], done.output.splitlines()[-1]
    assert first.startswith("F01 at repeat ")
    assert ": stored 0.6" in first
    assert ", found 0.6" in first
    assert last.startswith("the changed code gives other numbers, so nothing was written; undo what changed them, or ")
    assert suite.state() == before
    say[0] = leading
    done = runner.invoke(app, typed)
    assert done.exit_code == 0, done.output
    assert "F02: 20 of 60 stored runs again, no number differs\nwrote " in done.output
    assert runner.invoke(app, typed).output == "Nothing to carry: everything is of this code.\n"
