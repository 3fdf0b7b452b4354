"""The mutation score: how many one-line changes of the reference the suite and the unit tests notice."""
