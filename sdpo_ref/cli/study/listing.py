"""``sdpo-ref study list``: the experiments of the study."""


def list_experiments() -> None:
    """List the experiments with their questions and the number of their cells."""
    from rich.console import Console
    from rich.table import Table

    from sdpo_ref.study.user_experiment import chosen_experiments

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("cells", justify="right", no_wrap=True)
    table.add_column("title", no_wrap=True)
    table.add_column("question", overflow="fold")
    for one in chosen_experiments(()):
        table.add_row(one.name, str(len(one.cells)), one.title, one.question)
    Console(highlight=False).print(table)
