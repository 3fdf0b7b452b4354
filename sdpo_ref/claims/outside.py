"""What the study's report shows beside its runs: verdicts on both worlds, published numbers, and the first picture.

The picture's rewards are of the verdicts' seeds and kept in ``conformance/lead.json``; ``sdpo-ref claims picture``
measures them again.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict

from sdpo_ref import SPEC_VERSION
from sdpo_ref.claims.comparison import CellName, cells_with
from sdpo_ref.claims.figures import SEEDS, Figure, FigureVerdict, Table, published_tables
from sdpo_ref.claims.findings import read_findings
from sdpo_ref.claims.headline import part_word, verdict_lines
from sdpo_ref.claims.kept import read_kept, write_kept
from sdpo_ref.claims.published import VERDICT_SEEDS, PublishedFindings, read_published_findings
from sdpo_ref.claims.records import read_claims, read_published
from sdpo_ref.claims.runs import Fresh, RunName, verdict_seed
from sdpo_ref.claims.schema import Seeds, Statement
from sdpo_ref.claims.stored import Stored
from sdpo_ref.errors import IntegrityError
from sdpo_ref.published.metrics import every_completion_reward
from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.published.world import World as PublishedWorld
from sdpo_ref.study.experiment import Label, Task
from sdpo_ref.study.fingerprint import code_fingerprint
from sdpo_ref.study.report.outside import Arm, Outside, Published, Reward, World
from sdpo_ref.study.summary import Estimate, estimate

FILE_NAME = "lead.json"
"""In ``conformance/``."""

_OUR_SEEDS = Seeds(claim="F01", setting="default world")
_METRIC = "final_reward"


def outside_of(conformance: Path, spec: Path) -> Outside:
    """What a released suite found, for a report.

    Args:
        conformance: folder of what was found.
        spec: folder of the records.

    Raises:
        IntegrityError: if a file is broken.
    """
    findings, found = read_findings(conformance), read_published_findings(conformance)
    verdicts = {} if findings is None else verdict_lines(findings, read_claims(spec))
    if found is not None:
        verdicts |= published_lines(found, read_published(spec))
    rewards = read_rewards(conformance)
    return Outside(verdicts, tuple(published_numbers(found)), () if rewards is None else arms_of(rewards))


def published_lines(found: PublishedFindings, statements: Mapping[str, Statement]) -> dict[str, list[str]]:
    """Experiment to what stands beside its figure: a line for each statement, and one for all of its figures.

    Args:
        found: what was decided.
        statements: as registered.
    """
    lines: dict[str, list[str]] = {}
    for name, decided in found.statements.items():
        record = statements[name]
        parts = (f"{record.part(part.name).says}: {part_word(record.part(part.name), part)}" for part in decided.parts)
        lines.setdefault(_place(record), []).append(f"{name}: {'; '.join(parts)}.")
    for experiment in dict.fromkeys(table.experiment for table in published_tables()):
        names = [
            table.id for table in published_tables() if table.experiment == experiment and table.id in found.tables
        ]
        counts = Counter(figure.verdict for name in names for figure in found.tables[name].figures)
        others = (
            f"{counts[one]} {one}" for one in FigureVerdict if counts[one] and one is not FigureVerdict.REPRODUCED
        )
        reproduced = f"{counts[FigureVerdict.REPRODUCED]} of {sum(counts.values())} figures REPRODUCED"
        if names:
            lines.setdefault(experiment, []).append(f"{', '.join(names)}: {', '.join((reproduced, *others))}.")
    return lines


def _place(record: Statement) -> str:
    """The experiment of a statement; its own, where one of its name is."""
    experiments = {part.experiment for part in record.parts}
    return record.id if record.id in experiments or len(experiments) > 1 else experiments.pop()


def published_numbers(found: PublishedFindings | None) -> Iterator[Published]:
    """Every published number as a figure marks it.

    Args:
        found: what became of each; ``None`` for nothing yet.
    """
    for table in published_tables():
        decided = () if found is None or table.id not in found.tables else found.tables[table.id].figures
        verdicts = {one.name: str(one.verdict) for one in decided}
        for figure in table.figures:
            yield _number(table, figure, verdicts.get(figure.name, ""))


def _number(table: Table, figure: Figure, verdict: str) -> Published:
    return Published(
        table=table.id,
        name=figure.name,
        experiment=table.experiment,
        metric=table.metric,
        cell=figure.cell,
        low=figure.middle - figure.half_range,
        high=figure.middle + figure.half_range,
        digits=table.digits,
        less=figure.less,
        lost_from=figure.lost_from,
        mean_over=figure.mean_over,
        statistic=table.statistic,
        verdict=verdict,
    )


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptReward(_Kept):
    """A mean over seeds.

    Attributes:
        mean: 0 is the policy before training, 1 the best there is.
        half_width: of its 95 % interval.
        raw: mean reward on the world's own scale, where that is another one.
    """

    mean: float
    half_width: float
    raw: float | None = None


class Rewards(_Kept):
    """Rewards of the first picture.

    Attributes:
        command: that measures them again.
        spec_version: of the specification whose seeds they have.
        code: world to the fingerprint of its code.
        seeds: how many.
        rewards: cell in words to what it gained.
    """

    command: str
    spec_version: str
    code: Mapping[World, str]
    seeds: int
    rewards: Mapping[str, KeptReward]


class _Row(_Kept):
    """A row of the picture, with the cells that it shows or why there is none."""

    name: str
    look: str
    control: bool = False
    published: tuple[str, dict[str, Label]] | None = None
    ours: tuple[str, dict[str, Label]] | None = None
    without: str = ""

    def cell(self, world: World) -> CellName | None:
        named = self.published if world == "published" else self.ours
        return None if named is None else cells_with(*named)[0]


_ROWS = (
    _Row(
        name="SDPO, real feedback",
        look="sdpo",
        published=("C01", {"arm": "sdpo"}),
        ours=("F12", {"arm": "sdpo", "regime": "scalar"}),
    ),
    _Row(
        name="SDPO, another completion's feedback",
        look="sdpo",
        control=True,
        published=("C01", {"arm": "another rollout's"}),
        ours=("F12", {"arm": "deranged", "regime": "scalar"}),
    ),
    _Row(
        name="SDPO, the same feedback for all",
        look="sdpo",
        control=True,
        published=("C01", {"arm": "constant 0.6"}),
        ours=("F12", {"arm": "constant", "regime": "scalar"}),
    ),
    _Row(
        name="SDPO, teacher not told the truth",
        look="sdpo",
        control=True,
        published=("C02", {"told": 0.0}),
        without="no teacher is told it here",
    ),
    _Row(
        name="REINFORCE",
        look="reinforce",
        published=("C01", {"arm": "reinforce"}),
        without="every method is tuned here",
    ),
    _Row(
        name="SDPO, tuned",
        look="sdpo",
        published=("C03", {"method": "sdpo", "learning_rate": 2.0}),
        without="as the first row",
    ),
    _Row(
        name="REINFORCE, tuned",
        look="reinforce",
        published=("C03", {"method": "reinforce", "learning_rate": 20.0}),
        ours=("F01", {"method": "reinforce", "regime": "scalar"}),
    ),
)


def arms_of(rewards: Rewards) -> tuple[Arm, ...]:
    """The rows of the picture.

    Args:
        rewards: that were kept.
    """
    return tuple(
        Arm(
            row.name,
            row.look,
            row.control,
            {
                world: Reward(Estimate(kept.mean, kept.half_width, rewards.seeds), kept.raw)
                for world in get_args(World)
                if (cell := row.cell(world)) is not None and (kept := rewards.rewards.get(str(cell))) is not None
            },
            dict.fromkeys(get_args(World), row.without),
        )
        for row in _ROWS
    )


def measure_rewards(fresh: Fresh, stored: Stored) -> Rewards:
    """What the picture shows, on the seeds of verdicts: the published world run anew, ours as it is stored.

    Args:
        fresh: of the bundled methods.
        stored: runs of our world.
    """
    kept: dict[str, KeptReward] = {}
    seeds = [verdict_seed(VERDICT_SEEDS, index) for index in range(SEEDS)]
    cells = [cell for row in _ROWS if (cell := row.cell("published")) is not None]
    found = fresh.run([Task(cell.settings, seed) for cell in cells for seed in seeds])
    ends = [_ends(seed) for seed in seeds]
    for cell in cells:
        raw = [found[cell.settings, seed][_METRIC] for seed in seeds]
        shares = [(value - start) / (best - start) for value, (start, best) in zip(raw, ends, strict=True)]
        kept[str(cell)] = _kept(shares, raw=sum(raw) / len(raw))
    for cell in [cell for row in _ROWS if (cell := row.cell("ours")) is not None]:
        runs = stored.values([RunName(_OUR_SEEDS, index, cell) for index in range(SEEDS)])
        kept[str(cell)] = _kept([one[_METRIC] for one in runs.values()])
    code: dict[World, str] = {"published": code_fingerprint("published"), "ours": code_fingerprint("simulated")}
    return Rewards(command="sdpo-ref claims picture", spec_version=SPEC_VERSION, code=code, seeds=SEEDS, rewards=kept)


def _ends(seed: int) -> tuple[float, float]:
    """Mean reward before training, and the reward of the best completion, in the published world of a seed."""
    listed = every_completion_reward(PublishedWorld.draw(PublishedSettings(), seed=seed))
    if listed is None:
        raise IntegrityError("the published world has too many completions to list; correct its default size")
    return float(listed.mean()), float(listed.max())


def _kept(values: Sequence[float], *, raw: float | None = None) -> KeptReward:
    found = estimate(values)
    if found is None or found.half_width is None or found.count != SEEDS:
        raise IntegrityError(
            f"received {len(values)} rewards of a row; allowed are {SEEDS}; run `sdpo-ref claims reference`"
        )
    return KeptReward(
        mean=round(found.mean, 6), half_width=round(found.half_width, 6), raw=None if raw is None else round(raw, 6)
    )


def read_rewards(conformance: Path) -> Rewards | None:
    """Rewards of the picture that a suite was released with; ``None`` if there is no file.

    Args:
        conformance: folder of the checks.

    Raises:
        IntegrityError: if the file is not one of these.
    """
    return read_kept(conformance / FILE_NAME, Rewards, again="sdpo-ref claims picture")


def write_rewards(conformance: Path, rewards: Rewards) -> Path:
    """Write them so that a change of one number is a change of one line.

    Args:
        conformance: folder of the checks.
        rewards: to write.
    """
    return write_kept(conformance / FILE_NAME, rewards)
