"""Profiles are declarations: unknown ones are refused by name."""

import pytest
from pydantic import ValidationError

from sdpo_ref.errors import UsageError
from sdpo_ref.protocols.profile import DEFAULTS, PROFILES, ContextRules, Profile, resolve_profile


def test_every_profile_has_defaults() -> None:
    """The two tables of spec/08 have the same columns."""
    assert set(DEFAULTS) == set(PROFILES)


def test_unknown_name_lists_the_known() -> None:
    """A typo shows what there is."""
    with pytest.raises(UsageError, match="trl-sdpo"):
        resolve_profile("trl")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"agregation": "token_mean"}, "no field 'agregation'"),
        ({"aggregation": "mean"}, "aggregation='mean'"),
        ({"base": "nobody"}, "no profile is called 'nobody'"),
    ],
)
def test_unknown_fields_and_values(fields: dict[str, object], message: str) -> None:
    """Each names what is wrong."""
    with pytest.raises(UsageError, match=message):
        resolve_profile(fields)


def test_departures_name_both_sides() -> None:
    """What a variant does, and what the paper does."""
    assert Profile(aggregation="row_mean_all").departures() == {"aggregation": ("row_mean_all", "token_mean")}


def test_context_rules_refuse_unknown_fields() -> None:
    """A misspelt rule is an error and not a default."""
    with pytest.raises(ValidationError):
        ContextRules(sucess_threshold=1.0)  # type: ignore[call-arg]
