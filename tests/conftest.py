"""Settings that every test shares: one thread, repeatable properties, what is skipped without the peers or left out."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch
from hypothesis import settings

from tests import forked

torch.set_num_threads(1)

# The kernels of losses/fused run in Triton's interpreter, on the CPU, if this is set before Triton is imported.
os.environ.setdefault("TRITON_INTERPRET", "1")

settings.register_profile("sdpo-ref", derandomize=True, database=None, deadline=None)
settings.load_profile("sdpo-ref")


@pytest.fixture(scope="session", autouse=True)
def forked_processes() -> Iterator[None]:
    """Processes in which an implementation is verified are forked from one that has imported PyTorch."""
    with forked.installed():
        yield


EXTRAS = {"peers": ("trl", "sdpo_rl", "peft"), "lm": ("transformers", "jinja2")}
"""What a test with the marker of an extra imports."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a `peers` or `lm` test where the extra is absent, unless SDPO_REF_REQUIRE_PEERS=1 forbids to skip it."""
    needed = [name for extra, names in EXTRAS.items() if item.get_closest_marker(extra) is not None for name in names]
    missing = [name for name in needed if find_spec(name) is None]
    if not missing:
        return
    reason = f"not installed: {', '.join(missing)}; run `pip install -c constraints.txt -e '.[dev,peers,study,lm]'`"
    if os.environ.get("SDPO_REF_REQUIRE_PEERS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what ``make test`` leaves out, above pytest's last line."""
    if config.option.markexpr == "not slow":
        terminalreporter.write_line(
            "Left out: tests marked `slow`, which run the suite, the study, the peers, the README or the wheel as a "
            "whole. `make test-all` runs every test."
        )
