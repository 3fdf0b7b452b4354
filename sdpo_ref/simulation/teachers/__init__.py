"""Self-teachers of the simulated world: how a policy is conditioned on what was said about its attempts."""
