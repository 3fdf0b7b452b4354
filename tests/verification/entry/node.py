"""Node, which runs the examples that are not Python."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def node() -> str:
    """The program; without it the test is skipped, unless SDPO_REF_REQUIRE_NODE=1 forbids to skip it."""
    found = shutil.which("node")
    if found is not None:
        return found
    reason = "there is no `node` on PATH; install Node 18 or newer to run the examples that are not Python"
    if os.environ.get("SDPO_REF_REQUIRE_NODE") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
