"""The example for GitHub Actions: it is YAML, and the command line takes what it says."""

import re
import shlex

import yaml  # type: ignore[import-untyped]
from typer.main import get_command

from sdpo_ref.cli.verify import app
from sdpo_ref.resources import content


def test_the_command_of_the_example_exists() -> None:
    """Every option of its `sdpo-ref verify` is one; what is uploaded is what is written."""
    text = (content("conformance") / "examples" / "github-actions.yml").read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["verify"]["steps"]
    (line,) = [step["run"] for step in steps if "sdpo-ref verify" in step.get("run", "")]
    words = shlex.split(line)
    assert words[:3] == ["sdpo-ref", "verify", "my_sdpo:make"]
    known = {name for parameter in get_command(app).params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    uploaded = set(steps[-1]["with"]["path"].split())
    assert uploaded == set(re.findall(r"--(?:json|junit|html|badge) (\S+)", line))
