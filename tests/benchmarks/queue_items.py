"""Items for the queue that misbehave in the ways that items do."""

import os
import time

from benchmarks.gpu.work import Work


def measures(work: Work) -> None:
    """Does what is asked."""
    work.add("L1", "time / G4", 1.2)


def fails(work: Work) -> None:
    """Finds something, then fails."""
    work.check("found before", 1.0)
    raise RuntimeError("no kernel image\nis available")


def hangs(work: Work) -> None:
    """Finds something, then never ends."""
    work.check("found before", 1.0)
    time.sleep(600)


def dies(work: Work) -> None:
    """Finds something, then takes its process along."""
    work.check("found before dying", 1.0)
    os._exit(7)
