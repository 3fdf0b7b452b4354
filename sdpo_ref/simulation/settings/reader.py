"""Settings of the self-teacher's reader: what it takes feedback to be (spec/06-simulation, section C)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sdpo_ref.simulation.settings.oracle import RegimeSettings

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ReaderSettings(BaseModel):
    """What a reader assumes, and how far it goes with what it concludes.

    A study tells a reader the truth about regime, noise, slope and idiosyncrasy, or something else on purpose; the
    reader itself looks at nothing but these settings, its corpus and the ratings.

    Attributes:
        feedback: which ratings the feedback holds, and the standard deviation of their noise.
        basis: in which terms loadings are learned: one unknown for each token, or for each number of the embedding
            (subspace conditioning).
        overconfident: whether estimated loadings are taken for the truth, however little the corpus says.
        slope: of the true reward in the latent score, beta.
        idiosyncrasy: share of a token's quality that taste does not explain, psi.
        kappa: what one unit of credited quality, the standard deviation of a random token's, adds to a logit of the
            teacher, in nats. 1 makes it e times as likely against a token of average quality; 0 is the student.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> ReaderSettings(feedback=RegimeSettings(regime="rubric")).basis
        'embedding'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feedback: RegimeSettings = RegimeSettings()
    basis: Literal["token", "embedding"] = "embedding"
    overconfident: bool = False
    slope: Positive = 1.0
    idiosyncrasy: Share = 0.15
    kappa: Amount = 1.0
