"""Algorithms that turn judged rollouts into updates; one file each, opening with how it departs from its neighbour."""
