"""How large the problems are: as the goals say, or tiny to try the benchmarks out."""

from dataclasses import dataclass

from benchmarks.inputs import Shape


@dataclass(frozen=True)
class Sizes:
    """Of all problems.

    Attributes:
        cost: of C1 and C2.
        rounds: in which time is measured.
        accuracy: of A1, A2 and A4.
        tail_vocab: vocabulary of A3.
        top_k: tokens of a top-k support.
        gap: distance of the teacher's hidden states from the student's, whose KL is about 1; of A2.
        gaps: distances whose KL falls from 4 to 4e-3.
        runs: how many runs the simulator takes at once, fewest first.
        loop_runs: how many runs are done one after another.
        loop_steps: of those runs, and of the runs that they are compared with.
        run_steps: how many run-steps are timed for each number of runs.
    """

    cost: Shape
    rounds: int
    accuracy: Shape
    tail_vocab: int
    top_k: int
    gap: float
    gaps: tuple[float, ...]
    runs: tuple[int, ...]
    loop_runs: int
    loop_steps: int
    run_steps: int


SIZES = {
    "full": Sizes(
        cost=Shape(tokens=1024, hidden=512, vocab=32768),
        rounds=5,
        accuracy=Shape(tokens=64, hidden=1024, vocab=32000),
        tail_vocab=32000,
        top_k=100,
        gap=0.5,
        gaps=(1.5, 0.3, 0.1, 0.03),
        runs=(64, 512, 4096),
        loop_runs=4,
        loop_steps=40,
        run_steps=16384,
    ),
    "tiny": Sizes(
        cost=Shape(tokens=12, hidden=8, vocab=160),
        rounds=2,
        accuracy=Shape(tokens=6, hidden=16, vocab=160),
        tail_vocab=160,
        top_k=5,
        gap=0.5,
        gaps=(1.0, 0.1),
        runs=(2, 3),
        loop_runs=1,
        loop_steps=2,
        run_steps=6,
    ),
}
"""By the name that the option ``--size`` takes."""
