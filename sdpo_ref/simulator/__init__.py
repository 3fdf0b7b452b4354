"""How runs are executed (spec/06-simulation, section E): ``reference``, one run with plain objects."""
