"""Execute tasks of one shape together, and keep of each what ``execute`` keeps."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import DivergedError
from sdpo_ref.simulation.assembly import learned
from sdpo_ref.simulation.batched.first_order import FirstOrder, Grammars
from sdpo_ref.simulation.batched.measure import credit_correlations, credit_precisions
from sdpo_ref.simulation.batched.oracle import Oracles
from sdpo_ref.simulation.batched.runs import Run, StepDraws
from sdpo_ref.simulation.batched.self_distillation import implicit_rewards, sdpo_gradient
from sdpo_ref.simulation.batched.student import Students
from sdpo_ref.simulation.batched.teacher import FeedbackTeachers
from sdpo_ref.simulation.batched.update import Batch, Credit, Moment, Penalties
from sdpo_ref.simulation.methods import Sdpo
from sdpo_ref.simulation.oracles import Draws
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader import Knowledge
from sdpo_ref.simulation.run_batch import Trained, Watched, run_batch
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, WorldSettings
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.corpus import loading_correlation
from sdpo_ref.study.outcome import BEST_SHARE, CreditMap, Outcome, curve_metrics, curve_of, diversity_metrics

_WORLDS_KEPT = 32
"""Worlds and the readers' knowledge of them, of the last seeds and sizes; methods that are compared share them."""


def execute_batch(
    settings: Sequence[RunSettings], seeds: Sequence[int], *, device: str = "cpu", sampled: bool = True
) -> list[Outcome]:
    """Do many units of the study's work at once.

    Implements: SIM-133, SIM-182, SIM-183.

    Args:
        settings: of the runs, with one :func:`~sdpo_ref.simulation.run_batch.batch_key`.
        seeds: of the runs.
        device: where to compute.
        sampled: whether to measure the final policies by samples as well (distinct-n, self-BLEU), which takes a fifth
            of the time.

    Returns:
        What :func:`~sdpo_ref.study.execute.execute` returns for each, up to rounding.

    Raises:
        InvalidInputError: if the settings do not fit.
        UnsupportedError: if the device is not there, or a run needs the simulator ``reference``.
    """
    runs = [
        Run(one, seed, _world(one.world, seed), tuple(_knowledge(one.world, reader, seed) for reader in one.readers))
        for one, seed in zip(settings, seeds, strict=True)
    ]
    watch = _Watch(runs)
    trained = run_batch(runs, device=device, observe=watch)
    return [_outcome(run, row, trained, watch, sampled=sampled) for row, run in enumerate(runs)]


@dataclass
class _Watch:
    """Keeps how good the methods' credit is in the steps that follow a measurement."""

    runs: Sequence[Run]
    correlations: list[list[float]] = field(default_factory=list)
    precisions: list[list[float]] = field(default_factory=list)
    calibrations: list[float | None] = field(default_factory=list)
    first: list[CreditMap] = field(default_factory=list)

    def __call__(self, seen: Watched) -> None:
        """Called by the batch."""
        signal, truth = seen.credit.signal, seen.true_advantages
        self.correlations.append(credit_correlations(signal, truth))
        self.precisions.append(credit_precisions(signal, truth, share=BEST_SHARE))
        if seen.moment.step == 1:
            self.first = [
                CreditMap(tokens=tuple(tuple(row) for row in ids.tolist()), credit=_rows(credit), truth=_rows(worth))
                for ids, credit, worth in zip(
                    *(table[:, 0].mT for table in (seen.moment.tokens.ids, signal, truth)), strict=True
                )
            ]
            self.calibrations = [_calibration(run, row, seen.credit) for row, run in enumerate(self.runs)]

    def metrics(self, row: int) -> Mapping[str, float]:
        """What was seen of one run."""
        correlations, precisions = ([at[row] for at in kind] for kind in (self.correlations, self.precisions))
        found = {
            "credit": sum(correlations) / len(correlations),
            "credit_first": correlations[0],
            "precision": sum(precisions) / len(precisions),
        }
        calibration = self.calibrations[row]
        return found if calibration is None else {**found, "calibration": calibration}


def _outcome(run: Run, row: int, trained: Trained, watch: _Watch, *, sampled: bool) -> Outcome:
    curve = trained.curves[row]
    if isinstance(curve, DivergedError):
        return Outcome(error=str(curve))
    policy = FirstOrderPolicy(trained.policy.scores[row].cpu(), run.world.grammar)
    of_samples: Mapping[str, float] = {}
    if sampled:
        of_samples = diversity_metrics(policy, run.world, seed=run.seed, group_size=run.settings.group_size)
    return Outcome(
        metrics={
            **curve_metrics(curve),
            **of_samples,
            **watch.metrics(row),
            "loading_correlation": loading_correlation(run.knowledge[0].loadings, run.world.loadings),
        },
        curve=curve_of(curve),
        credit_map=watch.first[row],
    )


def _calibration(run: Run, row: int, credit: Credit) -> float | None:
    """Slope of the regression of true quality on credited quality; None if nothing is credited."""
    kappas = {reader.kappa for reader in run.settings.readers}
    if run.settings.method.method != "sdpo" or len(kappas) != 1 or credit.direction is None:
        return None
    tilt = _centred(credit.direction[row].cpu())
    scale = float(tilt.square().sum())
    return kappas.pop() * float((tilt * _centred(run.world.quality)).sum()) / scale if scale > 0 else None


def _centred(values: Float[Tensor, "prompt time vocab"]) -> Float[Tensor, "prompt time vocab"]:
    return values - values.mean(-1, keepdim=True)


def _rows(table: Tensor) -> tuple[tuple[float, ...], ...]:
    rows: list[list[float]] = table.tolist()
    return tuple(tuple(row) for row in rows)


@functools.lru_cache(maxsize=_WORLDS_KEPT)
def _world(settings: WorldSettings, seed: int) -> World:
    return World.draw(settings, seed=seed)


@functools.lru_cache(maxsize=_WORLDS_KEPT)
def _knowledge(world: WorldSettings, reader: ReaderSettings, seed: int) -> Knowledge:
    return learned(_world(world, seed), reader, seed=seed)


def probe_batch(settings: ProbeSettings, *, seed: int, device: str = "cpu") -> Mapping[str, float]:
    """Judge the same rollouts again and again, and compare where the gradients point.

    Implements: SIM-135, SIM-160.

    Args:
        settings: the world, the oracle, the reader, and how many judgements.
        seed: of everything random.
        device: where to compute.

    Returns:
        As :func:`~sdpo_ref.study.execute.probe`, up to rounding.
    """
    where = torch.device(device)
    runs = _judgements_as_runs(settings, seed)
    students, oracles = Students(runs, where), Oracles(runs, where)
    teachers = FeedbackTeachers(Batch(runs, students, oracles, Penalties(runs, students), where))
    grammars = Grammars.from_logits(torch.stack([run.world.grammar for run in runs]).to(where))
    policy = FirstOrder.from_scores(students.scores(), grammars)
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
