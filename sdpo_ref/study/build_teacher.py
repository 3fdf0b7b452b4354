"""From settings to what a teacher reads with and whose weights it has."""

from collections.abc import Callable, Mapping, Sequence

from sdpo_ref.protocols.policy import Policy
from sdpo_ref.protocols.teacher import Teacher
from sdpo_ref.simulation.oracles.build import dealt
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader import Knowledge, Reader, design_of
from sdpo_ref.simulation.settings.method import Hybrid, Implementation, Sdft, Sdpo, TeacherName
from sdpo_ref.simulation.settings.oracle import RegimeSettings
from sdpo_ref.simulation.settings.reader import ReaderSettings
from sdpo_ref.simulation.settings.run import ProbeSettings, RunSettings
from sdpo_ref.simulation.teachers.placebo import ConstantFeedback, DerangedFeedback
from sdpo_ref.simulation.teachers.read_by_prompt import ReadByPrompt
from sdpo_ref.simulation.teachers.read_demonstration import ReadDemonstration
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.simulation.world import World
from sdpo_ref.simulation.world.corpus import annotate
from sdpo_ref.study.third_party import made_by
from sdpo_ref.teachers.conditioning import Conditioning
from sdpo_ref.teachers.ema import EmaTeacher
from sdpo_ref.teachers.frozen import FrozenTeacher
from sdpo_ref.teachers.frozen_difference import FrozenDifferenceTeacher
from sdpo_ref.teachers.live import LiveTeacher
from sdpo_ref.teachers.trust_region import TrustRegionTeacher
from sdpo_ref.types import Feedback

_KINDS: Mapping[TeacherName, Callable[[Policy, Conditioning], Teacher]] = {
    "live": LiveTeacher,
    "ema": EmaTeacher,
    "frozen": FrozenTeacher,
    "trust_region": TrustRegionTeacher,
    "frozen_difference": FrozenDifferenceTeacher,
}


def build_teacher(
    settings: RunSettings, world: World, knowledge: Sequence[Knowledge], policy: FirstOrderPolicy, *, seed: int
) -> Teacher:
    """The teacher of a run's method; for a method without one that of SDPO, which costs nothing until it is asked.

    Args:
        settings: of the run.
        world: whose prompts are dealt to regimes.
        knowledge: of each reader.
        policy: that is going to be trained.
        seed: of the dealing of regimes, and of the exchange of deranged feedback.

    Returns:
        The teacher, at its start.

    Raises:
        LoadError: if a third party's teacher cannot be made.
    """
    method = settings.method
    if isinstance(method, Sdft):
        return LiveTeacher(policy, _read_demonstrations(settings.readers[0], knowledge[0]))
    reading = read_feedback(settings, world, knowledge, seed=seed)
    if not isinstance(method, Sdpo | Hybrid | Implementation):
        return LiveTeacher(policy, reading)
    conditioning = _as_told(settings, method, reading, seed=seed)
    if isinstance(method, Implementation):
        return LiveTeacher(policy, conditioning)
    if method.teacher_factory is not None:
        return made_by(method.teacher_factory, Teacher, policy, conditioning)  # type: ignore[type-abstract]
    return _KINDS[method.teacher](policy, conditioning)


def read_feedback(
    settings: RunSettings | ProbeSettings, world: World, knowledge: Sequence[Knowledge], *, seed: int
) -> ReadByPrompt:
    """The reader of each prompt's feedback; it knows which prompt has which regime and nothing else of the oracle.

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
    """What a reader knows from the corpus of a world, or believes to know.

    Args:
        world: that the corpus describes.
        reader: says in which basis loadings are learned, and whether the reader doubts them.
        seed: of the corpus.
    """
    corpus = annotate(world, seed=seed)
    known = Knowledge.learn(corpus, world.embeddings, basis=reader.basis, noise=world.settings.annotation_noise)
    return known.without_doubt() if reader.overconfident else known


def _read_demonstrations(reader: ReaderSettings, knowledge: Knowledge) -> ReadDemonstration:
    seen = reader.model_copy(update={"feedback": RegimeSettings(regime="scalar", noise=reader.slope / 4)})
    return ReadDemonstration(Reader.from_settings(knowledge, seen), kappa=reader.kappa)


def _as_told(
    settings: RunSettings, method: Sdpo | Hybrid | Implementation, reading: ReadByPrompt, *, seed: int
) -> Conditioning:
    match method.placebo:
        case None:
            return reading
        case "constant":
            sizes = settings.world
            design = design_of(settings.readers[0].feedback, time=sizes.time, aspects=sizes.aspects)
            said = Feedback("Always the same.", (0.5,) * len(design.positions))
            return ConstantFeedback(reading, said, reward=0.5)
        case "deranged":
            return DerangedFeedback(reading, seed=seed)
