"""The objective, in several implementations behind one signature; ``reference`` is the one that reads like the spec."""
