"""Where a result comes from: which code, on which versions, when and for how long. No host name, no path."""

import functools
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

import sdpo_ref
from sdpo_ref import SPEC_VERSION, __version__
from sdpo_ref.study.fingerprint import code_fingerprint


class Origin(BaseModel):
    """The code and the machine, the same for all tasks of one process.

    Attributes:
        package: version of this package.
        specification: version of spec/.
        code: fingerprint of everything that a run executes.
        git_revision: of the checkout that the package lies in; ``None`` outside one.
        git_dirty: whether the package differs from that revision; ``None`` outside a checkout.
        python: version.
        torch: version.
        numpy: version.
        platform: operating system and processor family.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    package: str
    specification: str
    code: str
    git_revision: str | None
    git_dirty: bool | None
    python: str
    torch: str
    numpy: str
    platform: str


class Provenance(Origin):
    """Where one result comes from.

    Attributes:
        started: when the task began, UTC.
        wall_seconds: how long it took, in seconds; of a batch, the task's share.
        simulator: that did it.
    """

    simulator: str
    started: AwareDatetime
    wall_seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


@functools.cache
def origin() -> Origin:
    """Of this process. Git is called once and may be absent.

    Implements: SIM-145.
    """
    revision, dirty = _git()
    return Origin(
        package=__version__,
        specification=SPEC_VERSION,
        code=code_fingerprint(),
        git_revision=revision,
        git_dirty=dirty,
        python=platform.python_version(),
        torch=metadata.version("torch"),
        numpy=metadata.version("numpy"),
        platform=f"{platform.system()} {platform.machine()}",
    )


def provenance(*, started: float, wall_seconds: float, simulator: str) -> Provenance:
    """Of one task of this process.

    Args:
        started: seconds since 1970, UTC.
        wall_seconds: how long the task took.
        simulator: that did it.

    Example:
        >>> provenance(started=0.0, wall_seconds=0.5, simulator="reference").started.isoformat()
        '1970-01-01T00:00:00+00:00'
    """
    return Provenance(
        **origin().model_dump(),
        started=datetime.fromtimestamp(started, tz=UTC),
        wall_seconds=wall_seconds,
        simulator=simulator,
    )


def _git() -> tuple[str | None, bool | None]:
    """Revision and whether the package differs from it, if the package lies at the top of a checkout of its own."""
    package = Path(sdpo_ref.__file__).resolve().parent
    top = _answer(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != package.parent:
        return None, None
    revision = _answer(package, "rev-parse", "HEAD")
    changes = _answer(package, "status", "--porcelain", "--", ".")
    return revision, None if changes is None else bool(changes)


def _answer(folder: Path, *question: str) -> str | None:
    """What git prints about a folder; ``None`` without git, outside a checkout, or if git refuses."""
    here = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    here["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *question],  # noqa: S607
            cwd=folder,
            env=here,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
