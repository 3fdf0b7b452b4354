"""A world with a known ground truth (spec/06-simulation): what is good, to whom, and how good it can get."""

from sdpo_ref.simulation.world.world import World, random_stream

__all__ = ["World", "random_stream"]
