"""How inconsistent the evaluator is."""

from dataclasses import dataclass

from sdpo_ref.simulation.oracles.staged import Bias, Lens, refuse_outside


@dataclass(frozen=True)
class NoiseLevel(Bias):
    """The inner oracle with another standard deviation of the noise; the random numbers behind it stay.

    The outermost of several levels decides.
    Implements: SIM-040.

    Attributes:
        noise: standard deviation of every rating's noise, as a fraction of the scale; at least 0.

    Raises:
        InvalidInputError: if the noise is below 0 or not finite.
    """

    noise: float

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("noise", self.noise, low=0.0, high=float("inf"))

    @property
    def lens(self) -> Lens:
        """The new level, whatever it was."""
        return Lens(noise=lambda _: self.noise)
