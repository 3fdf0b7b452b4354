"""The reference obeys every published profile, so a departure that is declared is a departure that can be kept."""

import pytest

from sdpo_ref.protocols.profile import PROFILES
from sdpo_ref.verification.engine import verify


@pytest.mark.slow
@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "paper"])
def test_reference_under_every_profile(profile: str) -> None:
    """Every MUST passes; the paper's own profile is what the README's command runs."""
    found = verify(f"reference,profile={profile}").verdict
    assert found.exit_code == 0, found.sentence
