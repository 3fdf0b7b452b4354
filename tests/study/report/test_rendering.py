"""The page in a browser: it is drawn, and no network is used. Skipped where there is no Chromium."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sdpo_ref.study.report.figures import FIGURES
from sdpo_ref.study.report.figures.svg import svg
from tests.study.synthetic import observations

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_draws_text_inside_the_figure(tmp_path: Path) -> None:
    """Every text has a place within its drawing, in the fonts of this machine; measured by the browser itself."""
    drawings = "".join(svg(figure, observations(figure.experiment)) for figure in FIGURES.values())
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{drawings}<script>{_MEASURE}</script>", encoding="utf-8")
    done = subprocess.run(
        [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert 'data-drawings="' + str(len(FIGURES)) in done.stdout
    assert 'data-outside=""' in done.stdout


_MEASURE = """
const outside = [];
for (const drawing of document.querySelectorAll("body > svg")) {
  const frame = drawing.getBoundingClientRect();
  for (const text of drawing.querySelectorAll("text")) {
    const box = text.getBoundingClientRect();
    if (box.left < frame.left - 2 || box.right > frame.right + 2 || box.top < frame.top - 2
        || box.bottom > frame.bottom + 2)
      outside.push(drawing.querySelector("title").textContent + ": " + text.textContent);
  }
}
document.body.dataset.drawings = document.querySelectorAll("body > svg").length;
document.body.dataset.outside = outside.join("; ");
"""
