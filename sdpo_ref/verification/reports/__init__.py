"""Reports of a run in every form but the terminal's: each is a function of one document (spec/decisions/0025)."""
