"""The suite's engine: hands ``conformance/`` to pytest in a process of its own and turns outcomes into verdicts."""
