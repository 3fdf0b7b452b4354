"""The probe with all its judgements at once: each draw is a run of the batched simulator at its first step."""

from collections.abc import Mapping

import torch

from sdpo_ref.simulation.batched import Run
from sdpo_ref.simulation.batched.first_order import FirstOrder, Grammars
from sdpo_ref.simulation.batched.moment import Moment
from sdpo_ref.simulation.batched.oracle import Oracles
from sdpo_ref.simulation.batched.self_distillation import implicit_rewards, sdpo_gradient
from sdpo_ref.simulation.batched.streams import StepDraws
from sdpo_ref.simulation.batched.student import Students
from sdpo_ref.simulation.batched.teacher import FeedbackTeachers
from sdpo_ref.simulation.oracles import Draws
from sdpo_ref.simulation.settings.method import Sdpo
from sdpo_ref.simulation.settings.oracle import OracleSettings
from sdpo_ref.simulation.settings.run import ProbeSettings, RunSettings
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.study.build_teacher import learned


def probe_batch(settings: ProbeSettings, *, seed: int, device: str = "cpu") -> Mapping[str, float]:
    """Judge the same rollouts again and again, and compare where the gradients point.

    Implements: SIM-135, SIM-160.

    Args:
        settings: the world, the oracle, the reader, and how many judgements.
        seed: of everything random.
        device: where to compute.

    Returns:
        As :func:`~sdpo_ref.study.probe.probe`, up to rounding.
    """
    where = torch.device(device)
    runs = _judgements_as_runs(settings, seed)
    students, oracles = Students(runs, where), Oracles(runs, where)
    teachers = FeedbackTeachers(runs, students, oracles, where)
    grammars = Grammars.of(torch.stack([run.world.grammar for run in runs]).to(where))
    policy = FirstOrder.of(students.scores(), grammars)
    draws = _draws(settings, seed, where)
    tokens = policy.sample(draws.uniform)
    log_probs = policy.log_probs(tokens)
    moment = Moment(1, policy, tokens, log_probs, oracles.judge(tokens, log_probs, draws))
    view = teachers.view(moment)
    gradients = sdpo_gradient(moment, view).flatten(1)
    clean, noisy = gradients[0], gradients[1:]
    cosine = torch.nn.functional.cosine_similarity
    tilts = view.direction.gather(-1, tokens.ids)
    closed_form = tilts - policy.expected(view.direction.exp(), tokens).log()
    return {
        "direction": float(cosine(noisy.mean(0), clean, dim=0)),
        "single_direction": float(cosine(noisy, clean[None]).mean()),
        "identity_error": float((implicit_rewards(moment, view) - closed_form)[0].sum(1).abs().max()),
    }


def _judgements_as_runs(settings: ProbeSettings, seed: int) -> list[Run]:
    """The exact judgement first, then one run for each noisy one."""
    world = World.draw(settings.world, seed=seed)
    knowledge = tuple(learned(world, reader, seed=seed) for reader in settings.readers)
    exact = tuple(regime.model_copy(update={"noise": 0.0}) for regime in settings.oracle.regimes)
    oracles = [OracleSettings.model_validate({**settings.oracle.model_dump(), "regimes": exact})]
    oracles += [settings.oracle] * settings.draws
    return [
        Run(
            RunSettings(
                world=settings.world,
                oracle=oracle,
                readers=settings.readers,
                group_size=settings.group_size,
                method=Sdpo(),
            ),
            seed,
            world,
            knowledge,
        )
        for oracle in oracles
    ]


def _draws(settings: ProbeSettings, seed: int, device: torch.device) -> StepDraws:
    """The same uniform numbers for all, and the noise of each judgement."""
    shape, count = (settings.world.prompts, settings.group_size), settings.world.prompts * settings.group_size
    spans = max(regime.spans for regime in settings.oracle.regimes)
    ratings = 1 + max(spans, settings.world.aspects)
    stream = random_stream(seed, "probe", "rollouts")
    uniform = torch.rand(*shape, settings.world.time, generator=stream, dtype=torch.float64).mT
    judged = [Draws.from_generator(random_stream(seed, "probe", draw), count) for draw in range(settings.draws + 1)]
    noise = torch.stack([one.normal("noise", ratings).view(*shape, ratings) for one in judged])
    missing = torch.stack([one.uniform("missing").view(shape) for one in judged])
    return StepDraws(uniform.expand(len(judged), -1, -1, -1).to(device), noise.to(device), missing.to(device))
