"""The published settings are the defaults, and what no run can be is refused."""

import pytest
from pydantic import ValidationError

from sdpo_ref.published.settings import Constants, Control, PublishedSettings


def test_the_defaults_are_published() -> None:
    """PUB-017, and what PUB-030 chose."""
    settings = PublishedSettings()
    assert (settings.vocab, settings.time, settings.rollouts, settings.steps) == (8, 6, 32, 300)
    assert (settings.learning_rate, settings.pull, settings.noise, settings.bias) == (0.02, 0.01, 0.0, "none")
    assert settings.control == Control(feedback="own", told=1.0, equal_mean=False, hints="position")
    assert settings.constants == Constants(
        strength=1.5, pattern_weight=0.25, neighbour_spread=0.3, gate=0.1, hint_noise=0.1, effective_length="all"
    )


@pytest.mark.parametrize(
    ("wrong", "received", "allowed"),
    [
        ({"vocab": 1}, "input_value=1", "greater than or equal to 2"),
        ({"time": 0}, "input_value=0", "greater than or equal to 1"),
        ({"steps": 49}, "input_value=49", "greater than or equal to 50"),
        ({"rollouts": 1}, "input_value=1", "greater than or equal to 2"),
        ({"learning_rate": 0.0}, "input_value=0.0", "greater than 0"),
        ({"learning_rate": float("inf")}, "input_value=inf", "finite number"),
        ({"pull": -0.1}, "input_value=-0.1", "greater than or equal to 0"),
        ({"noise": float("nan")}, "input_value=nan", "greater than or equal to 0|finite number"),
        ({"method": "ppo"}, "input_value='ppo'", "'sdpo', 'reinforce', 'advantage_weighted' or 'hybrid'"),
        ({"feedback": "stars"}, "input_value='stars'", "'binary', 'ordinal', 'continuous' or 'critique'"),
        ({"bias": "mood"}, "input_value='mood'", "'none', 'length', 'positivity' or 'anchoring'"),
        ({"kind": "run"}, "input_value='run'", "'published'"),
        ({"seed": 3}, "input_value=3", "Extra inputs are not permitted"),
        ({"constants": {"strength": 0.0}}, "input_value=0.0", "greater than 0"),
        ({"constants": {"gate": 0.0}}, "input_value=0.0", "greater than 0"),
        ({"constants": {"pattern_weight": -1.0}}, "input_value=-1.0", "greater than or equal to 0"),
        ({"constants": {"neighbour_spread": -1.0}}, "input_value=-1.0", "greater than or equal to 0"),
        ({"constants": {"hint_noise": -1.0}}, "input_value=-1.0", "greater than or equal to 0"),
        ({"constants": {"effective_length": "half"}}, "input_value='half'", "'all' or 'without token 0'"),
        ({"constants": {"temperature": 1.0}}, "input_value=1.0", "Extra inputs are not permitted"),
        ({"control": {"told": 1.5}}, "input_value=1.5", "less than or equal to 1"),
        ({"control": {"told": -0.5}}, "input_value=-0.5", "greater than or equal to 0"),
        ({"control": {"feedback": -0.5}}, "input_value=-0.5", "greater than or equal to 0"),
        ({"control": {"feedback": "mine"}}, "input_value='mine'", "'own' or 'other'"),
        ({"control": {"hints": "vocab"}}, "input_value='vocab'", "'position' or 'token'"),
        ({"control": {"equal_variance": True}}, "input_value=True", "Extra inputs are not permitted"),
        (
            {"method": "reinforce", "control": {"told": 0.5}},
            "received a control of the teacher for reinforce",
            "use sdpo or hybrid",
        ),
        ({"control": {"hints": "token"}}, "received hints at the token for continuous feedback", "use critique"),
        (
            {"constants": {"effective_length": "without token 0"}},
            "received an effective length for the bias 'none'",
            "read with length alone",
        ),
        (
            {"method": "advantage_weighted", "control": {"feedback": 0.5}},
            "received a control of the teacher for advantage_weighted",
            "use sdpo or hybrid",
        ),
    ],
)
def test_what_no_run_can_be_is_refused(wrong: dict[str, object], received: str, allowed: str) -> None:
    """The message has what was received and what is allowed."""
    with pytest.raises(ValidationError, match=received) as refused:
        PublishedSettings.model_validate(wrong)
    refused.match(allowed)


@pytest.mark.parametrize("control", [Control(), Control(feedback="other", hints="token"), Control(feedback=0.5)])
def test_settings_survive_json(control: Control) -> None:
    """A stored task is the task."""
    settings = PublishedSettings(feedback="critique", constants=Constants(strength=2.0), control=control)
    assert PublishedSettings.model_validate_json(settings.model_dump_json()) == settings


def test_settings_are_frozen() -> None:
    """A run is not changed after it was named."""
    with pytest.raises(ValidationError, match="frozen"):
        PublishedSettings().learning_rate = 1.0
