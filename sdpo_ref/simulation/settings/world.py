"""Settings of the simulated world and of the corpus that describes it (spec/06-simulation, section A)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class WorldSettings(BaseModel):
    """How large the world is, and how hard it is to know.

    Implements: SIM-007.

    Attributes:
        prompts: number of prompts, X.
        time: tokens of every completion, T.
        vocab: tokens to choose from, V.
        aspects: what a token can express (helpful, accurate, concise, ...), K; at most ``embedding``, because
            aspects are uncorrelated directions in the embedding space.
        embedding: numbers that describe a token to the model, r.
        low_rank_share: share of a loading's variance that is linear in the embedding; the rest belongs to the token.
        idiosyncrasy: share of a token's quality that taste does not explain, psi.
        slope: of the true reward in the latent score.
        coherence: standard deviation of the bigram term in the latent score; 1 is as much as quality, 0 is none.
        base_spread: standard deviation of the base policy's logits over prompts, positions and tokens.
        grammar_spread: standard deviation of what the previous token adds to a logit; 0 forgets the prefix.
        annotations: noisy annotations for each position and aspect in the corpus, D.
        annotation_noise: standard deviation of an annotation's error; a loading has 1.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> WorldSettings(vocab=64).vocab
        64
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: Count = 16
    time: Count = 8
    vocab: Annotated[int, Field(ge=2)] = 32
    aspects: Count = 4
    embedding: Count = 8
    low_rank_share: Share = 0.9
    idiosyncrasy: Share = 0.15
    slope: Positive = 1.0
    coherence: Weight = 0.0
    base_spread: Weight = 0.5
    grammar_spread: Weight = 0.5
    annotations: Count = 64
    annotation_noise: Positive = 1.0

    @model_validator(mode="after")
    def _aspects_fit_the_embedding(self) -> "WorldSettings":
        if self.aspects > self.embedding:
            raise ValueError(
                f"received aspects={self.aspects} and embedding={self.embedding}; uncorrelated aspects need "
                f"aspects <= embedding, so raise embedding to {self.aspects} or more"
            )
        return self
