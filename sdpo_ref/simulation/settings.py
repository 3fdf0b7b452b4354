"""What a run is made of, as data: the world, the oracle, the readers, and what every method has (spec/06-simulation).

All are frozen and refuse unknown fields. The settings of each method stand in its row of
:mod:`sdpo_ref.simulation.methods`, those of a whole run in :mod:`sdpo_ref.simulation.run_settings`.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SimulatorName = Literal["batched", "reference"]
"""The optimised simulator, and the clear one; they give the same numbers up to rounding."""

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Factory = Annotated[str, Field(pattern=r"^[^:]+:[^:]+$")]
"""``module:factory`` of a third party's part."""

RegimeName = Literal["binary", "ordinal", "scalar", "rubric", "critique"]
"""Regimes of feedback, from the poorest to the richest."""

Basis = Literal["token", "embedding"]
"""One unknown for each token, or one for each number of the embedding (subspace conditioning)."""

StudentName = Literal["table", "features"]
"""Whether the student's logits are a table alone, or a table and a learned combination of the reader's features."""

TeacherName = Literal["live", "ema", "frozen", "trust_region", "frozen_difference"]
"""Kinds of teacher weights."""

PlaceboName = Literal["constant", "deranged"]
"""Feedback that contains no information about the attempt that the teacher scores."""


class WorldSettings(BaseModel):
    """How large the world is, and how hard it is to learn.

    Implements: SIM-007.

    Attributes:
        prompts: number of prompts, X.
        time: tokens of every completion, T.
        vocab: tokens to choose from, V.
        aspects: what a token can express (helpful, accurate, concise, ...), K; at most ``embedding``, because
            aspects are uncorrelated directions in the embedding space.
        embedding: numbers that describe a token to the model, r.
        low_rank_share: share of a loading's variance that is linear in the embedding; the rest belongs to the token.
        idiosyncrasy: share of a token's quality that taste does not explain, psi.
        slope: of the true reward in the latent score.
        coherence: standard deviation of the bigram term in the latent score; 1 is as much as quality, 0 is none.
        base_spread: standard deviation of the base policy's logits over prompts, positions and tokens.
        grammar_spread: standard deviation of what the previous token adds to a logit; 0 forgets the prefix.
        annotations: noisy annotations for each position and aspect in the corpus, D.
        annotation_noise: standard deviation of an annotation's error; a loading has 1.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> WorldSettings(vocab=64).vocab
        64
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: Count = 16
    time: Count = 8
    vocab: Annotated[int, Field(ge=2)] = 32
    aspects: Count = 4
    embedding: Count = 8
    low_rank_share: Share = 0.9
    idiosyncrasy: Share = 0.15
    slope: Positive = 1.0
    coherence: Amount = 0.0
    base_spread: Amount = 0.5
    grammar_spread: Amount = 0.5
    annotations: Count = 64
    annotation_noise: Positive = 1.0

    @model_validator(mode="after")
    def _aspects_fit_the_embedding(self) -> "WorldSettings":
        if self.aspects > self.embedding:
            raise ValueError(
                f"received aspects={self.aspects} and embedding={self.embedding}; uncorrelated aspects need "
                f"aspects <= embedding, so raise embedding to {self.aspects} or more"
            )
        return self


class RegimeSettings(BaseModel):
    """How informative an oracle's feedback is, and how consistent.

    Attributes:
        regime: what is rated.
        noise: standard deviation of every rating's noise, as a fraction of the scale.
        spans: of a critique; at most as many as a completion has positions.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    regime: RegimeName = "scalar"
    noise: Amount = 0.15
    spans: Annotated[int, Field(ge=1)] = 4


class OracleSettings(BaseModel):
    """An oracle as data. Wrappers stand in the order of the fields, the first innermost.

    Implements: SIM-039.

    Attributes:
        regimes: one for all prompts, or several that are dealt to the prompts.
        filler_share: share of the vocabulary that is filler: the tokens with the lowest ids, which have nothing else
            in common.
        verbosity: how much better a filler token looks, in units of a token's quality.
        position: above 0 early tokens count more, below 0 late ones.
        self_preference: how much better a token looks that the policy was certain of, in units of a token's quality.
        halo: how far ratings of parts move towards the overall one.
        central_tendency: how far ratings move towards the middle.
        severity: how far ratings move towards the lower end.
        positivity: how far ratings move towards the upper end.
        misleading_share: share of the prompts whose feedback points the wrong way.
        missing_share: share of the rollouts without feedback.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> OracleSettings(regimes=(RegimeSettings(regime="critique"),), halo=0.5).regimes[0].spans
        4
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    regimes: Annotated[tuple[RegimeSettings, ...], Field(min_length=1)] = (RegimeSettings(),)
    filler_share: Share = 0.25
    verbosity: Amount = 0.0
    position: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    self_preference: Amount = 0.0
    halo: Share = 0.0
    central_tendency: Share = 0.0
    severity: Share = 0.0
    positivity: Share = 0.0
    misleading_share: Share = 0.0
    missing_share: Share = 0.0


class ReaderSettings(BaseModel):
    """What a reader assumes, and how far it goes with what it concludes.

    A study tells a reader the truth about regime, noise, slope and idiosyncrasy, or something else on purpose; the
    reader itself looks at nothing but these settings, its corpus and the ratings.

    Attributes:
        feedback: which ratings the feedback holds, and the standard deviation of their noise.
        basis: in which terms loadings are learned: one unknown for each token, or for each number of the embedding
            (subspace conditioning).
        overconfident: whether estimated loadings are taken for the truth, however small the corpus is.
        slope: of the true reward in the latent score, beta.
        idiosyncrasy: share of a token's quality that taste does not explain, psi.
        kappa: what one unit of credited quality, the standard deviation of a random token's, adds to a logit of the
            teacher, in nats. 1 makes it e times as likely against a token of average quality; 0 is the student.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> ReaderSettings(feedback=RegimeSettings(regime="rubric")).basis
        'embedding'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feedback: RegimeSettings = RegimeSettings()
    basis: Basis = "embedding"
    overconfident: bool = False
    slope: Positive = 1.0
    idiosyncrasy: Share = 0.15
    kappa: Amount = 1.0


class MethodBase(BaseModel):
    """What every method has.

    Attributes:
        method: name of the method's row in :data:`~sdpo_ref.simulation.methods.METHODS`.
        learning_rate: of Adam, in nats of a logit for each step.
        student: what the student's logits are made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads_spans: ClassVar[bool] = False
    """Whether the method needs the rating of each span of a critique."""

    reads_demonstrations: ClassVar[bool] = False
    """Whether its teacher is shown the best completion of the group in place of feedback."""

    method: str
    learning_rate: Positive = 0.1
    student: StudentName = "table"


class PenalizedBase(MethodBase):
    """What every bundled method has; a third party's trainer is not given a penalty.

    Attributes:
        kl_weight: of the KL divergence to the base policy, in the loss's unit per nat and token.
    """

    kl_weight: Amount = 0.0


class SelfDistilledBase(PenalizedBase):
    """What every method has whose teacher reads feedback.

    Attributes:
        teacher: whose weights the teacher has.
        teacher_factory: a third party's teacher in place of that one.
        placebo: what the teacher reads in place of the feedback; ``None`` for the feedback itself.
    """

    teacher: TeacherName = "live"
    teacher_factory: Factory | None = None
    placebo: PlaceboName | None = None


class SharedSettings(BaseModel):
    """What a training run and a probe have in common.

    Attributes:
        world: the ground truth, and the corpus that describes it.
        oracle: who judges.
        readers: what the self-teacher assumes, one for each of the oracle's regimes and in their order.
        group_size: completions to each prompt in a step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    world: WorldSettings = WorldSettings()
    oracle: OracleSettings = OracleSettings()
    readers: Annotated[tuple[ReaderSettings, ...], Field(min_length=1)] = (ReaderSettings(),)
    group_size: Annotated[int, Field(ge=2)] = 8

    @model_validator(mode="after")
    def _regimes_fit(self) -> "SharedSettings":
        expected = tuple(_shape(reader.feedback) for reader in self.readers)
        received = tuple(_shape(regime) for regime in self.oracle.regimes)
        if expected != received:
            raise ValueError(
                f"readers expect the regimes {expected}, the oracle has {received}; give one reader for each regime, "
                "with the same regime and number of spans"
            )
        for regime in self.oracle.regimes:
            if regime.regime == "critique" and regime.spans > self.world.time:
                raise ValueError(
                    f"received spans={regime.spans} and time={self.world.time}; a critique has at most one span for "
                    f"each position, so lower spans to {self.world.time} or less"
                )
        return self


class RunBase(SharedSettings):
    """A training run but for its seed, whatever its method.

    Attributes:
        kind: tells it from a probe.
        method: what is trained and how.
        oracle_factory: a third party's oracle, called as ``factory(world, oracle_settings, seed=...)``.
        steps: iterations.
        measure_every: steps between exact measurements.
    """

    kind: Literal["run"] = "run"
    method: MethodBase
    oracle_factory: Factory | None = None
    steps: Count = 200
    measure_every: Count = 10


def _shape(feedback: RegimeSettings) -> str:
    return f"critique of {feedback.spans}" if feedback.regime == "critique" else feedback.regime
