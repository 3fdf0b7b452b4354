"""Every form of a report but the terminal's, by the name of the option that asks for it."""

from collections.abc import Callable, Mapping

from sdpo_ref.verification.reports.badge import badge_as_json, badge_as_svg
from sdpo_ref.verification.reports.diff import Difference
from sdpo_ref.verification.reports.document import Document
from sdpo_ref.verification.reports.junit import junit
from sdpo_ref.verification.reports.markdown import markdown
from sdpo_ref.verification.reports.outputs import Outputs
from sdpo_ref.verification.reports.page import page


def forms(document: Document, outputs: Outputs, difference: Difference | None) -> Mapping[str, Callable[[], str]]:
    """How each form is made.

    Args:
        document: of a run.
        outputs: where they go; a badge is a picture if its file is called so.
        difference: from an older report, for the forms that show it.
    """
    picture = outputs.wanted.get("badge", "").lower().endswith(".svg")
    return {
        "junit": lambda: junit(document),
        "markdown": lambda: markdown(document, difference),
        "html": lambda: page(document, difference),
        "badge": lambda: badge_as_svg(document) if picture else badge_as_json(document),
    }
