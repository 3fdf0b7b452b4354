"""The isolated process that trains with a third party's trainer; ``isolation.sandbox`` calls ``main``.

The first line of standard input names the trainer, each further line requests runs. What was its standard output when
it started receives progress, one line each, and then one line with the metrics or with the error. The worker processes
of the study are its children, so they are isolated too.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from pydantic import TypeAdapter

from sdpo_ref.claims.runs import Fresh, RunName
from sdpo_ref.errors import SdpoRefError
from sdpo_ref.verification.isolation.sandbox import scratch_folder, terminate_all

REQUESTS = TypeAdapter(list[RunName])
"""Requested runs as JSON."""


def main(_isolation: Mapping[str, str]) -> None:
    """Serve until standard input ends, then terminate this process and its children.

    Args:
        _isolation: in force in this process; the report has it already.
    """
    commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device, not a path
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(commands, lines, scratch_folder()), daemon=True).start()
    settings = json.loads(lines.get())
    source = Fresh(
        implementation=settings["implementation"],
        jobs=settings["jobs"],
        offers=frozenset(settings["offers"]),
        time_limit=settings["time_limit"],
        progress=lambda done, runs: _send(answers, {"done": done, "runs": runs}),
    )
    while True:
        request = json.loads(lines.get())
        left = request["seconds_left"]
        source.until = None if left is None else time.monotonic() + left
        requested = REQUESTS.validate_python(request["runs"])
        try:
            found = source.values(requested)
        except SdpoRefError as error:
            _send(answers, {"error": str(error)})
        else:
            _send(answers, {"metrics": [found.get(one) for one in requested]})


def _send(answers: TextIO, what: Mapping[str, object]) -> None:
    answers.write(f"{json.dumps(what)}\n")
    answers.flush()


def _listen(commands: TextIO, lines: "queue.SimpleQueue[str]", folder: Path | None) -> None:
    """Queue each line; at the end of input, terminate this process and its children."""
    for line in commands:
        lines.put(line)
    terminate_all(folder)
