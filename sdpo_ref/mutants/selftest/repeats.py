"""How often a right variant fails when the checks take other random inputs: ``sdpo-ref selftest --repeats``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sdpo_ref.errors import IntegrityError
from sdpo_ref.mutants.selftest.problems import WARNINGS
from sdpo_ref.mutants.selftest.targets import Finding, Target

FILE = Path("mutants") / "repeats.json"
"""In the folder of the suite."""


@dataclass(frozen=True)
class Repeats:
    """What came of it.

    Attributes:
        repeats: how many sets of random inputs, none of them that of ``sdpo-ref verify``.
        variants: right variants, each run under all of them.
        failed: runs in which a MUST failed or a check broke, each with what failed.
    """

    repeats: int
    variants: tuple[str, ...]
    failed: Mapping[str, tuple[str, ...]]

    @property
    def runs(self) -> int:
        """Of all variants."""
        return self.repeats * len(self.variants)


def repeats_of(targets: Sequence[Target], findings: Mapping[str, Finding]) -> Repeats:
    """What the findings say.

    Args:
        targets: what was run.
        findings: by key.

    Returns:
        The repeats.
    """
    failed = {}
    for target in targets:
        found = findings[target.key]
        wrong = (*sorted(set(found.requirements) - WARNINGS), *found.broken)
        if wrong:
            failed[target.key] = wrong
    return Repeats(
        repeats=len({target.repeat for target in targets}),
        variants=tuple(dict.fromkeys(target.name for target in targets)),
        failed=failed,
    )


def read_repeats(conformance: Path) -> Repeats:
    """Those on file.

    Args:
        conformance: folder of the suite.

    Returns:
        The repeats.

    Raises:
        IntegrityError: if there are none, or the file is not one.
    """
    path = conformance / FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        failed = {name: tuple(wrong) for name, wrong in fields["failed"].items()}
        return Repeats(int(fields["repeats"]), tuple(fields["variants"]), failed)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        text = f"{path} holds no repeats ({error!r}); write it with `sdpo-ref selftest --repeats 59`"
        raise IntegrityError(text) from error


def write_repeats(conformance: Path, repeats: Repeats) -> None:
    """Keep them."""
    (conformance / FILE).write_text(f"{json.dumps(asdict(repeats), indent=1)}\n", encoding="utf-8")
