"""From settings to the objects of one run.

A world, a corpus, an oracle and a policy have the same seed and streams of their own, so methods with the same seed
start in the same world with the same policy and hear the same noise.
"""

from dataclasses import dataclass

from sdpo_ref.protocols.oracle import Oracle
from sdpo_ref.protocols.teacher import Teacher
from sdpo_ref.protocols.trainer import Trainer
from sdpo_ref.simulation.oracles.build import build_oracle
from sdpo_ref.simulation.policies.featured import FeaturedPolicy
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader import Knowledge
from sdpo_ref.simulation.settings.run import RunSettings
from sdpo_ref.simulation.world import World
from sdpo_ref.study.build_teacher import build_teacher, learned
from sdpo_ref.study.build_trainer import Student, build_trainer
from sdpo_ref.study.third_party import made_by


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
