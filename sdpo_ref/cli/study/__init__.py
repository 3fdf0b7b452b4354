"""``sdpo-ref study``: the simulation study, one sub-command a file."""

import typer

from sdpo_ref.cli.study.listing import list_experiments
from sdpo_ref.cli.study.report import report
from sdpo_ref.cli.study.run import run
from sdpo_ref.cli.study.status import show_status
from sdpo_ref.cli.study.tune import tune

app = typer.Typer(
    help="The simulation study: run it, see how far it is, report it, tune its methods.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("run")(run)
app.command("status")(show_status)
app.command("list")(list_experiments)
app.command("report")(report)
app.command("tune")(tune)
