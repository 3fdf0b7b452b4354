"""Defaults are those that the profile documents (spec/08-conformance)."""

import pytest

from sdpo_ref.protocols.profile import DEFAULTS
from sdpo_ref.verification.checks.comparison import assert_that
from sdpo_ref.verification.checks.subject import Subject


@pytest.mark.requirement("TRAIN-008")
def test_defaults(subject: Subject) -> None:
    """Every documented default that the implementation also has is the documented one."""
    found, documented = subject.defaults(), DEFAULTS[subject.base_profile]
    differing = {
        name: (found[name], value) for name, value in documented.items() if name in found and found[name] != value
    }
    shared = set(found) & set(documented)
    assert_that(bool(shared), f"some of {sorted(documented)}", f"{sorted(found)}")
    assert_that(
        not differing,
        f"the defaults of profile {subject.base_profile!r}",
        "; ".join(f"{name} = {value!r}, documented {wanted!r}" for name, (value, wanted) in differing.items()),
        looks_like="M345 same name, other default",
    )
