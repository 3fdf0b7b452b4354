"""A Bayesian reader of feedback: what a group's ratings imply about every token (spec/06-simulation, section C).

In the order in which they build on each other: ``knowledge`` is what the corpus taught about loadings, ``prior`` what
that implies about quality before feedback, ``design`` what each rating is about, ``posterior`` the tangent of
the rating scale and the conditioning, ``reader`` all of it. Nothing here reads the world's taste or quality, or a
policy.
"""

from sdpo_ref.simulation.reader.design import Design, design_of
from sdpo_ref.simulation.reader.knowledge import Knowledge
from sdpo_ref.simulation.reader.prior import QualityPrior
from sdpo_ref.simulation.reader.reader import Reader, Reading

__all__ = ["Design", "Knowledge", "QualityPrior", "Reader", "Reading", "design_of"]
