"""Self-teachers of the simulated world: how a policy is conditioned on the feedback on its attempts."""
