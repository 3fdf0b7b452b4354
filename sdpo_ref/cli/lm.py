"""``sdpo-ref lm``: language models of transformers."""

from pathlib import Path
from typing import Annotated

import typer

from sdpo_ref.cli.options import HtmlTo

app = typer.Typer(help="Language models of transformers (extra `lm`).", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Language models of transformers (extra `lm`)."""


@app.command()
def credit(
    model: Annotated[str, typer.Argument(help="Folder of a model and its tokenizer; `tiny` for the bundled one.")],
    prompt: Annotated[str, typer.Option(help="What the user asked.")],
    completion: Annotated[str, typer.Option(help="What the model answered.")],
    feedback: Annotated[str, typer.Option(help="What was said about it.")],
    html: HtmlTo = None,
) -> None:
    """What feedback says about each token: log pi(token | feedback) - log pi(token), in nats."""
    import torch
    from rich.console import Console
    from rich.text import Text

    from sdpo_ref.lm.credit import credit_of, credit_page
    from sdpo_ref.lm.policy import TransformersPolicy
    from sdpo_ref.lm.reader import tiny_reader
    from sdpo_ref.verification.isolation.text import printable

    torch.set_num_threads(1)
    policy = tiny_reader() if model == "tiny" else TransformersPolicy.load(model)
    found = credit_of(policy, prompt, completion, feedback)
    largest = max(map(abs, found.nats)) or 1.0
    console = Console(soft_wrap=True)
    for token, nats in zip(found.tokens, found.nats, strict=True):
        strength = abs(nats) / largest
        colour = ("blue" if nats > 0 else "red") if strength >= 0.1 else "default"
        bar = ("+" if nats > 0 else "-") * round(20 * strength)
        console.print(Text(f"{nats:+8.3f}  "), Text(f"{printable(token.strip()):<20}", style=colour), Text(bar), sep="")
    console.print(Text(f"{found.total:+8.3f}  nats in all: the implicit reward of this completion"))
    if html is not None:
        Path(html).write_text(credit_page([found]), encoding="utf-8")
