"""The reference obeys every published profile, so a departure that is declared is a departure that can be kept."""

import pytest

from sdpo_ref.mutants.selftest.targets import all_targets
from sdpo_ref.protocols.profile import PROFILES
from sdpo_ref.verification.engine import verify

FARTHEST = max(PROFILES, key=lambda name: len(PROFILES[name].departures()))
"""The profile that departs from the paper's in most choices."""


@pytest.mark.slow
def test_reference_under_the_farthest_profile() -> None:
    """Every MUST passes; the paper's own profile is what the README's command runs."""
    found = verify(f"reference,profile={FARTHEST}", jobs=1).verdict
    assert found.exit_code == 0, found.sentence


def test_selftest_runs_every_profile() -> None:
    """Each profile of the reference is a right variant, on which ``sdpo-ref selftest`` runs every check."""
    right = {target.name for target in all_targets() if target.mutant is None}
    assert {f"profile-{name}" for name in PROFILES} <= right
