"""From settings to the objects of one run: world, readers, teacher, student, trainer, oracle.

A world, a corpus, an oracle and a policy have the same seed and streams of their own, so methods with the same seed
start in the same world with the same policy and receive the same noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.protocols import Oracle, Policy, Teacher, Trainer
from sdpo_ref.simulation.method import Student
from sdpo_ref.simulation.methods import Implementation, build_trainer
from sdpo_ref.simulation.oracles.build import build_oracle, dealt
from sdpo_ref.simulation.policies.featured import FeaturedPolicy
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader import Knowledge, Reader, design_of
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.simulation.settings import (
    PlaceboName,
    ReaderSettings,
    RegimeSettings,
    SelfDistilledBase,
    SharedSettings,
    TeacherName,
)
from sdpo_ref.simulation.teachers.placebo import ConstantFeedback, DerangedFeedback
from sdpo_ref.simulation.teachers.read_by_prompt import ReadByPrompt
from sdpo_ref.simulation.teachers.read_demonstration import ReadDemonstration
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.simulation.third_party import made_by
from sdpo_ref.simulation.world import World
from sdpo_ref.simulation.world.corpus import annotate
from sdpo_ref.teachers.weights import (
    Conditioning,
    EmaTeacher,
    FrozenDifferenceTeacher,
    FrozenTeacher,
    LiveTeacher,
    TrustRegionTeacher,
)
from sdpo_ref.types import Feedback

_KINDS: Mapping[TeacherName, Callable[[Policy, Conditioning], Teacher]] = {
    "live": LiveTeacher,
    "ema": EmaTeacher,
    "frozen": FrozenTeacher,
    "trust_region": TrustRegionTeacher,
    "frozen_difference": FrozenDifferenceTeacher,
}


@dataclass(frozen=True)
class Assembled:
    """The objects of one run.

    Attributes:
        world: the ground truth.
        knowledge: of the first reader.
        oracle: who judges.
        teacher: of the method, or for a method without one that of SDPO.
        trainer: with its policy.
    """

    world: World
    knowledge: Knowledge
    oracle: Oracle
    teacher: Teacher
    trainer: Trainer


def assemble(settings: RunSettings, *, seed: int) -> Assembled:
    """Build everything that a run needs.

    Implements: SIM-130.

    Args:
        settings: of the run.
        seed: of the world, the corpus and the oracle.

    Returns:
        Objects that share nothing with those of another call.

    Raises:
        InvalidInputError: if the settings fit each other but not the world.
        LoadError: if a third party's part cannot be made.
    """
    world = World.draw(settings.world, seed=seed)
    knowledge = [learned(world, reader, seed=seed) for reader in settings.readers]
    base = FirstOrderPolicy.base(world)
    features = settings.method.student == "features"
    policy = FeaturedPolicy.base(world, knowledge[0].loadings) if features else FirstOrderPolicy.base(world)
    teacher = build_teacher(settings, world, knowledge, policy, seed=seed)
    student = Student(policy, base, spans=settings.oracle.regimes[0].spans)
    if settings.oracle_factory is None:
        oracle: Oracle = build_oracle(world, settings.oracle, seed=seed)
    else:
        given = world, settings.oracle
        oracle = made_by(settings.oracle_factory, Oracle, *given, seed=seed)  # type: ignore[type-abstract]
    return Assembled(world, knowledge[0], oracle, teacher, build_trainer(settings.method, student, teacher))


def build_teacher(
    settings: RunSettings, world: World, knowledge: Sequence[Knowledge], policy: FirstOrderPolicy, *, seed: int
) -> Teacher:
    """The teacher of a run's method; for a method without one that of SDPO, which costs nothing until it is used.

    Args:
        settings: of the run.
        world: whose prompts are dealt to regimes.
        knowledge: of each reader.
        policy: that is going to be trained.
        seed: of the dealing of regimes, and of the swap of deranged feedback.

    Returns:
        The teacher, at its start.

    Raises:
        LoadError: if a third party's teacher cannot be made.
    """
    method = settings.method
    if method.reads_demonstrations:
        return LiveTeacher(policy, _read_demonstrations(settings.readers[0], knowledge[0]))
    reading = read_feedback(settings, world, knowledge, seed=seed)
    if isinstance(method, Implementation):
        return LiveTeacher(policy, _with_placebo(method.placebo, settings, reading, seed=seed))
    if not isinstance(method, SelfDistilledBase):
        return LiveTeacher(policy, reading)
    conditioning = _with_placebo(method.placebo, settings, reading, seed=seed)
    if method.teacher_factory is not None:
        return made_by(method.teacher_factory, Teacher, policy, conditioning)  # type: ignore[type-abstract]
    return _KINDS[method.teacher](policy, conditioning)


def read_feedback(
    settings: RunSettings | ProbeSettings, world: World, knowledge: Sequence[Knowledge], *, seed: int
) -> ReadByPrompt:
    """The reader of each prompt's feedback; it has the regime of each prompt and nothing else of the oracle.

    Args:
        settings: give the readers.
        world: whose prompts are dealt to regimes.
        knowledge: of each reader.
        seed: of the dealing of regimes.
    """
    members = tuple(
        ReadFeedback(Reader.from_settings(known, one), kappa=one.kappa)
        for known, one in zip(knowledge, settings.readers, strict=True)
    )
    return ReadByPrompt(members, dealt(world, len(members), seed=seed))


def learned(world: World, reader: ReaderSettings, *, seed: int) -> Knowledge:
    """What a reader estimates from the corpus of a world.

    Args:
        world: that the corpus describes.
        reader: says in which basis loadings are learned, and whether the reader takes them for certain.
        seed: of the corpus.
    """
    corpus = annotate(world, seed=seed)
    known = Knowledge.learn(corpus, world.embeddings, basis=reader.basis, noise=world.settings.annotation_noise)
    return known.without_doubt() if reader.overconfident else known


def _read_demonstrations(reader: ReaderSettings, knowledge: Knowledge) -> ReadDemonstration:
    seen = reader.model_copy(update={"feedback": RegimeSettings(regime="scalar", noise=reader.slope / 4)})
    return ReadDemonstration(Reader.from_settings(knowledge, seen), kappa=reader.kappa)


def _with_placebo(
    placebo: PlaceboName | None, settings: SharedSettings, reading: ReadByPrompt, *, seed: int
) -> Conditioning:
    match placebo:
        case None:
            return reading
        case "constant":
            sizes = settings.world
            design = design_of(settings.readers[0].feedback, time=sizes.time, aspects=sizes.aspects)
            feedback = Feedback("Always the same.", (0.5,) * len(design.positions))
            return ConstantFeedback(reading, feedback, reward=0.5)
        case "deranged":
            return DerangedFeedback(reading, seed=seed)
