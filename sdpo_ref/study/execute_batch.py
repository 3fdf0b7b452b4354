"""Run tasks of one shape together, and keep of each what ``execute`` keeps."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import DivergedError
from sdpo_ref.simulation.batched import Run, Trained, run_batch
from sdpo_ref.simulation.batched.credit import credit_correlations, credit_precisions
from sdpo_ref.simulation.batched.moment import Credit
from sdpo_ref.simulation.batched.run import Watched
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader import Knowledge
from sdpo_ref.simulation.settings.reader import ReaderSettings
from sdpo_ref.simulation.settings.run import RunSettings
from sdpo_ref.simulation.settings.world import WorldSettings
from sdpo_ref.simulation.world import World
from sdpo_ref.simulation.world.corpus import loading_correlation
from sdpo_ref.study.build_teacher import learned
from sdpo_ref.study.metrics import curve_metrics, curve_of, diversity_metrics
from sdpo_ref.study.outcome import BEST_SHARE, CreditMap, Outcome

_WORLDS_KEPT = 32
"""Worlds and what readers know of them, of the last seeds and sizes; methods that are compared share them."""


def execute_batch(
    settings: Sequence[RunSettings], seeds: Sequence[int], *, device: str = "cpu", sampled: bool = True
) -> list[Outcome]:
    """Do many units of the study's work at once.

    Implements: SIM-133, SIM-163.

    Args:
        settings: of the runs, with one :func:`~sdpo_ref.simulation.batched.batch_key`.
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
    """Slope of the regression of true quality on credited quality; None if nothing is credited or asked for."""
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
