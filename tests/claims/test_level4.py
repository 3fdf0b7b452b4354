"""Level 4 as its user meets it: the README's trainer, wrong trainers, budgets, and what is not checked."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from joblib.externals.loky import get_reusable_executor

from sdpo_ref._resources import content
from sdpo_ref.claims.comparison import comparisons
from sdpo_ref.claims.findings import checked_parts, read_findings
from sdpo_ref.claims.first_gradient import CREDIT
from sdpo_ref.claims.power import DEFECTS
from sdpo_ref.claims.rates import Rates, Repeats, read_rates
from sdpo_ref.claims.records import released_claims
from sdpo_ref.claims.runs import Fresh, RunName, implemented, kept
from sdpo_ref.errors import TaskError
from sdpo_ref.simulation.methods import Hybrid, Implementation, Rloo, Sdpo
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.study.execute import execute
from sdpo_ref.study.execute_batch import execute_batch
from sdpo_ref.study.outcome import Outcome
from tests.commands import sdpo_ref

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a user who has copied the README's trainer, and three of their own that are wrong."""
    path = tmp_path_factory.mktemp("theirs")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n# my_trainer\.py\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (path / "my_trainer.py").write_text(block, encoding="utf-8")
    (path / "wrong.py").write_text(
        "import time\nfrom types import SimpleNamespace\n\n\n"
        "def raises():\n    def trainer(policy, teacher, *, learning_rate):\n        raise RuntimeError('no GPU')\n"
        "    return SimpleNamespace(trainer=trainer, capabilities={'trainer'})\n\n\n"
        "def hangs():\n    def trainer(policy, teacher, *, learning_rate):\n        time.sleep(3600)\n"
        "    return SimpleNamespace(trainer=trainer, capabilities={'trainer'})\n",
        encoding="utf-8",
    )
    return path


def verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`sdpo-ref verify`, as typed in a terminal 80 columns wide."""
    with contextlib.chdir(folder):
        return sdpo_ref("verify", *arguments)


@pytest.mark.slow
def test_the_readmes_trainer_reproduces_f01(folder: Path) -> None:
    """Five seeds, four regimes, five baselines: nothing is refuted, all controls hold, its level is right."""
    done = verify(folder, "my_trainer:make", "--only", "F01", "--profile", "smoke", "--json", "report.json")
    (claim,) = json.loads((folder / "report.json").read_text(encoding="utf-8"))["claims"]["verdicts"]
    assert (claim["outcome"], done.returncode) in (("PASS", 0), ("INCONCLUSIVE", 3)), done.stdout + done.stderr
    assert all(control["holds"] for control in claim["controls"])
    parts = {part["name"]: part for part in claim["parts"]}
    assert parts["level"]["outcome"] == "PASS"
    gaps = [value["value"] for one in parts["level"]["comparisons"] for value in one["values"]]
    assert max(map(abs, gaps)) < 1e-9
    assert "false pass" in done.stdout
    assert "false fail" in done.stdout


@pytest.mark.slow
def test_a_trainer_that_raises_is_an_error_by_name(folder: Path) -> None:
    """Its own exception, with its own line, and no traceback of this package; exit code 1."""
    done = verify(folder, "wrong:raises", "--only", "F01", "--profile", "smoke")
    assert done.returncode == 1
    assert "RuntimeError: no GPU" in " ".join(done.stdout.split())
    assert "wrong.py" in done.stdout


@pytest.mark.slow
def test_a_trainer_that_hangs_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that does not end is named with the limit; the process that it hangs in is not waited for."""
    get_reusable_executor().shutdown()  # workers of other tests stand in other folders
    monkeypatch.chdir(folder)
    claim = released_claims()["F01"]
    cell = comparisons(claim.part("level"))[0].cells[0]
    source = Fresh("wrong:hangs", 1, frozenset({"trainer"}), time_limit=10.0)
    with pytest.raises(TaskError, match="did not end within 10 s"):
        source.values([RunName(claim.seeds, 0, cell)])


@pytest.mark.slow
def test_a_budget_of_nothing_says_what_was_not_run(folder: Path) -> None:
    """No run is begun, the claim is NOT-RUN with the reason, and the run is incomplete."""
    done = verify(folder, "my_trainer:make", "--only", "F01", "--budget", "0")
    assert done.returncode == 5, done.stdout
    assert "the budget of 0 s was used up" in " ".join(done.stdout.split())


SEEDS: Mapping[str, tuple[int, str]] = {
    "shuffled": (6, "FAIL"),
    "forward_kl": (8, "FAIL"),
    "deaf": (3, "FAIL"),
    "peeking": (3, "FAIL"),
    "sandbagged": (2, "INVALID"),
}
"""What is wrong, how many seeds show it, and the outcome that they lead to."""


@pytest.mark.slow
def test_what_is_wrong_does_not_pass() -> None:
    """At the first seeds of what `sdpo-ref claims power` does 29 times with eight seeds each, it is refuted.

    In a process of its own: without the checks of shapes a run takes half as long.
    """
    assert set(SEEDS) == set(DEFECTS)
    code = f"""if True:
        from sdpo_ref._resources import content
        from sdpo_ref.claims.power import outcomes_of_bad
        from sdpo_ref.claims.records import released_claims
        from sdpo_ref.claims.stored import FOLDER, Stored

        stored, claim = Stored(content("conformance") / FOLDER), released_claims()["F01"]
        for name, (seeds, _) in {SEEDS!r}.items():
            print(name, dict(outcomes_of_bad(name, claim, stored, repeats=1, jobs=1, seeds=seeds).outcomes))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} {{'{outcome}': 1}}" for name, (_, outcome) in SEEDS.items()]


def test_the_trainer_stands_where_sdpo_stood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with the README's trainer is the run of the batched SDPO, number by number; a placebo reaches it too."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    ours = RunSettings(method=Sdpo(), steps=4, measure_every=2)
    theirs = implemented(ours, "my_trainer:make", {"trainer"})
    assert isinstance(theirs, RunSettings)
    found, expected = execute(theirs, 3), execute_batch([ours], [3])[0]
    assert found.metrics["final_reward"] == pytest.approx(expected.metrics["final_reward"], abs=1e-12)
    deaf = implemented(RunSettings(method=Sdpo(placebo="constant"), steps=2), "my_trainer:make", {"trainer"})
    assert isinstance(deaf, RunSettings)
    assert execute(deaf, 3).metrics["final_reward"] == pytest.approx(0.0, abs=1e-9)


def test_only_what_is_offered_is_replaced() -> None:
    """A trainer takes SDPO's place with its penalty and student; the hybrid, baselines and probes stay as they are."""
    run = RunSettings(method=Sdpo(kl_weight=0.1, student="features"))
    theirs = implemented(run, "a:b", {"trainer"})
    assert isinstance(theirs, RunSettings)
    assert theirs.method == Implementation(
        implementation="a:b", kl_weight=0.1, student="features", learning_rate=run.method.learning_rate
    )
    for kept_as_it_is in (RunSettings(method=Hybrid()), RunSettings(method=Rloo()), ProbeSettings()):
        assert implemented(kept_as_it_is, "a:b", {"trainer"}) == kept_as_it_is
    mixed = implemented(RunSettings(method=Hybrid(reward_weight=0.3, gated=True)), "a:b", {"hybrid_trainer"})
    assert isinstance(mixed, RunSettings)
    assert isinstance(mixed.method, Implementation)
    assert (mixed.method.reward_weight, mixed.method.gated) == (0.3, True)


def test_a_run_that_ended_early_has_collapsed() -> None:
    """It has that metric and no other, so that every other metric of it is missing."""
    assert kept(Outcome(error="not finite")) == {"collapsed": 1.0}
    assert kept(Outcome(metrics={"area": 0.5})) == {"area": 0.5}


def test_only_what_the_reference_reproduces_is_checked() -> None:
    """Refuted and undecided parts are left out; a trainer is not checked on the bundled gradient."""
    claims, findings = tuple(released_claims().values()), read_findings(content("conformance"))
    rates = read_rates(content("conformance"))
    assert findings is not None
    bundled = checked_parts(claims, findings, rates, implementation=False)
    for claim in claims:
        asked = {part.name for part in bundled[claim.id]}
        assert asked <= findings.passed(claim.id)
        assert asked, f"nothing of {claim.id} is checked"
    theirs = checked_parts(claims, findings, rates, implementation=True)
    assert (theirs["F07"], theirs["F14"], theirs["F16"]) == ([], [], [])
    assert {part.metric for part in theirs["F15"]} == {CREDIT}
    assert checked_parts(claims, None, rates, implementation=False)["F01"] == []


def test_a_part_is_promoted_by_passing_reliably() -> None:
    """One FAIL in 299 keeps it out, and so does passing less than 95 of 100; what was not measured is not checked."""

    def promoted(**counts: int) -> bool:
        measured = Repeats(
            profile="standard", repeats=100, stored={"F01": 64}, outcomes={}, parts={"F01": {"reward": counts}}
        )
        return Rates(spec_version="", code={}, promotion=measured).promoted("F01", "reward")

    assert promoted(PASS=100)
    assert promoted(PASS=95, INCONCLUSIVE=5)
    assert not promoted(PASS=94, INCONCLUSIVE=6)
    assert not promoted(PASS=99, FAIL=1)
    assert not promoted(PASS=99, INVALID=1)
    assert not Rates(spec_version="").promoted("F01", "reward")


def test_a_record_that_was_moved_is_seen_by_every_run(tmp_path: Path) -> None:
    """A suite whose alpha is not the registered one differs from what was released, and its run does not count."""
    shutil.copytree(content("spec"), tmp_path / "spec")
    shutil.copytree(
        content("conformance"), tmp_path / "conformance", ignore=shutil.ignore_patterns("reference", "SHA256SUMS")
    )
    chapter = tmp_path / "spec" / "07-claims.md"
    text = chapter.read_text(encoding="utf-8")
    chapter.write_text(text.replace("alpha = 0.05", "alpha = 0.06", 1), encoding="utf-8")
    done = verify(tmp_path, "--suite", str(tmp_path), "--only", "LOSS-001")
    assert done.returncode == 5, done.stdout
    assert "F01: record changed" in done.stdout
