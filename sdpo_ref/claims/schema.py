"""A claim as data, written down before it is decided; spec/07-claims holds one for each of F01 to F16."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdpo_ref.study.experiment import Label

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0.0, lt=1.0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Band = tuple[Finite, Finite]
Source = Literal["study", "ours"]
"""Whose statement a part is: the published study's, or an extension of ours."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Direction(_Record):
    """Is the quantity positive? Decided by the exact sequential sign rule.

    Attributes:
        resolution: of the quantity, in its unit; less than this is a tie.
        least: smallest probability of improvement that counts as a reproduction.
    """

    kind: Literal["direction"] = "direction"
    resolution: Positive
    least: Rate = 0.8


class Grid(_Record):
    """Is the quantity positive at every level of an axis? Decided like a direction, reported as a verified prefix.

    Attributes:
        along: the axis, one of the part's ``over``.
        resolution: of the quantity, in its unit; less than this is a tie.
        least: smallest probability of improvement that counts as a reproduction.
    """

    kind: Literal["grid"] = "grid"
    along: str
    resolution: Positive
    least: Rate = 0.8


class Magnitude(_Record):
    """How large is the mean of the quantity? Decided by two nested bands.

    Attributes:
        claimed: what the claim states.
        tolerated: what an implementation may have; holds ``claimed``.
    """

    kind: Literal["magnitude"] = "magnitude"
    claimed: Band
    tolerated: Band


class Equivalence(_Record):
    """Is the mean of the quantity zero, but for a margin?

    Attributes:
        margin: in the quantity's unit.
    """

    kind: Literal["equivalence"] = "equivalence"
    margin: Positive


class Reproduction(_Record):
    """Does an implementation have the reference's values at the same seeds, but for a margin?

    Attributes:
        margin: in the metric's unit.
    """

    kind: Literal["reproduction"] = "reproduction"
    margin: Positive


class Collapse(_Record):
    """How often does training collapse? Decided by exact binomial bounds.

    Attributes:
        most: the rate that is shown not to be reached.
        usual: a rate that is not held against an implementation.
    """

    kind: Literal["collapse"] = "collapse"
    most: Rate
    usual: Rate


Lane = Annotated[Direction | Grid | Magnitude | Equivalence | Reproduction | Collapse, Field(discriminator="kind")]
"""How a part is decided; ``kind`` says which."""


class Frontier(_Record):
    """The best value that runs along an axis give at some diversity or more, between neighbours linearly.

    Attributes:
        along: the axis of the runs, such as the weight of a penalty.
        diversity: the metric that is kept up.
        at: how much of it; ``$axis`` stands for the value of an axis.
    """

    along: str
    diversity: str
    at: Label


class Term(_Record):
    """A weighted value.

    Attributes:
        weight: that the value is multiplied by.
        cell: labels that single out one cell of the experiment, or for a frontier those of one axis; ``$axis`` stands
            for the value of an axis of the part's ``over``.
        frontier: how cells along an axis become one value.
    """

    weight: Finite
    cell: dict[str, Label]
    frontier: Frontier | None = None


class Part(_Record):
    """One statement of a claim. Its comparisons are all combinations of the values of ``over``.

    Attributes:
        name: one or two words.
        says: the sentence that is decided.
        source: whose statement it is; says how a result is presented, and is not in the record's fingerprint.
        experiment: whose cells are compared.
        asks_trainer: whether the trainer of an implementation can be checked; if not, it is about a gradient or a
            signal of the bundled one.
        lane: how it is decided.
        metric: name in :data:`~sdpo_ref.study.outcome.METRICS`.
        log: whether the metric's logarithm is taken.
        terms: their sum, less ``offset``, is the quantity, for each seed.
        offset: in the quantity's unit.
        over: axes and their values; a table gives several names a value at once.
    """

    name: str
    says: str
    source: Source
    experiment: str
    asks_trainer: bool = True
    lane: Lane
    metric: str
    log: bool = False
    terms: Annotated[tuple[Term, ...], Field(min_length=1)]
    offset: Finite = 0.0
    over: dict[str, Annotated[tuple[Label | dict[str, Label], ...], Field(min_length=1)]] = {}

    def __hash__(self) -> int:
        return hash((self.experiment, self.name, self.says))

    @model_validator(mode="after")
    def _grid_has_its_axis(self) -> "Part":
        if isinstance(self.lane, Grid) and self.lane.along not in self.over:
            raise ValueError(f"received a grid along {self.lane.along!r}; allowed is one of the axes {list(self.over)}")
        return self


class Seeds(_Record):
    """Which seeds repeat the runs; claims about the same runs name the same.

    Attributes:
        claim: whose seeds.
        setting: in a few words.
    """

    claim: str
    setting: str


class NegativeControl(_Record):
    """A known defect that the claim's own rule must not let pass.

    Attributes:
        part: that is decided once more, on its first comparison.
        mutant: name in :data:`~sdpo_ref.claims.wrong_runs.MUTANTS`; what every cell becomes that can.
    """

    part: str
    mutant: str


class Statement(_Record):
    """What is claimed and how it is decided, as it was registered before it was decided.

    Attributes:
        id: F01 to F16 for claims of our study, P01 to P07 for the published ones, C01 to C11 for controls of those.
        title: a few words.
        statement: what is claimed; the sentence under its heading.
        estimand: of which population what is estimated.
        pairing: what the sides of a comparison share.
        alpha: chance that the claim passes although one comparison is at its boundary.
        beta: chance that it fails although all comparisons hold.
        looks: numbers of seeds at which is decided.
        seeds: which.
        parts: what it says; the claim passes if all do.
    """

    id: Annotated[str, Field(pattern=r"^[FPC]\d\d$")]
    title: str
    statement: str
    estimand: str
    pairing: str
    alpha: Rate
    beta: Rate
    looks: Annotated[tuple[int, ...], Field(min_length=1)]
    seeds: Seeds
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _parts_are_told_apart(self) -> "Statement":
        names = [part.name for part in self.parts]
        if len(set(names)) != len(names):
            raise ValueError(f"received parts called {names}; give each a name of its own")
        return self

    def part(self, name: str) -> Part:
        """The part of a name."""
        return next(part for part in self.parts if part.name == name)


class Claim(Statement):
    """A claim of our study, with a known defect that it must not let pass.

    Attributes:
        negative_control: the defect.
    """

    negative_control: NegativeControl

    @model_validator(mode="after")
    def _control_is_of_a_part(self) -> "Claim":
        names = [part.name for part in self.parts]
        if self.negative_control.part not in names:
            raise ValueError(f"the negative control is of {self.negative_control.part!r}; allowed is one of {names}")
        return self
