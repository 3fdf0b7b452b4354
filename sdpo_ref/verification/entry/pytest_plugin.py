"""``pytest --sdpo-impl my_pkg.sdpo:make``: the requirements as items of the user's own pytest session.

The plugin is registered for every pytest session of the environment, so without the option it does nothing, and
imports nothing but pytest. The items belong to no file: choose among them with ``--sdpo-only`` or ``-k``, not by path.
"""

import shutil
import tempfile
from typing import Any

import pytest

IMPLEMENTATION, LEVEL, ONLY = "sdpo_impl", "sdpo_level", "sdpo_only"
STANDARD_LEVEL = 3
"""Level 4 trains for minutes, so it runs on request only."""

_shared = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the three options."""
    group = parser.getgroup("sdpo-ref", "conformance with the specification of SDPO")
    group.addoption(
        "--sdpo-impl",
        dest=IMPLEMENTATION,
        metavar="MODULE:FACTORY",
        help="check this implementation, one item for each requirement; KEY=VALUE may follow, after commas",
    )
    group.addoption(
        "--sdpo-level",
        dest=LEVEL,
        metavar="LEVEL",
        type=int,
        default=STANDARD_LEVEL,
        help=f"only requirements up to this level (default: {STANDARD_LEVEL}; level 4 trains for minutes)",
    )
    group.addoption(
        "--sdpo-only",
        dest=ONLY,
        metavar="ID",
        action="append",
        default=[],
        help="only this requirement, or checks whose id contains this; repeatable",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the items behind the user's own, before ``-k`` and the like choose among all of them.

    Raises:
        pytest.UsageError: if the level or a name selects nothing.
    """
    implementation = config.getoption(IMPLEMENTATION)
    if implementation:
        from sdpo_ref.verification.entry.pytest_items import collect

        level, only = config.getoption(LEVEL), tuple(config.getoption(ONLY))
        items.extend(collect(session, implementation, level=level, only=only))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a process of pytest-xdist the folder in which the one run of the suite stores its results for all."""
    config = node.config
    if config.getoption(IMPLEMENTATION):
        from sdpo_ref.verification.entry.pytest_outcomes import SHARED

        if _shared not in config.stash:
            config.stash[_shared] = tempfile.mkdtemp(prefix="sdpo-ref-pytest-")
        node.workerinput[SHARED] = config.stash[_shared]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the shared folder, if there is one."""
    if _shared in config.stash:
        shutil.rmtree(config.stash[_shared], ignore_errors=True)
