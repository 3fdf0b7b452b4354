"""What every test of the losses needs."""

import pytest

from tests.losses.interpreter import patch_once


@pytest.fixture(scope="session", autouse=True)
def _interpreter() -> None:
    patch_once()
