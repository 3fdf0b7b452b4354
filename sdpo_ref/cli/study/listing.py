"""``sdpo-ref study list``: the experiments of the study."""


def list_experiments() -> None:
    """Say which experiments there are, what each asks, and how many cells it compares."""
    from rich.console import Console
    from rich.table import Table

    from sdpo_ref.study.chosen import chosen

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("cells", justify="right", no_wrap=True)
    table.add_column("title", no_wrap=True)
    table.add_column("question", overflow="fold")
    for one in chosen(()):
        table.add_row(one.name, str(len(one.cells)), one.title, one.question)
    Console(highlight=False).print(table)
