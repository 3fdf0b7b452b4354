"""Wrong implementations that share no line with the mutants: how often the diagnosis is right, silent or wrong."""
