"""Golden vectors as files: JSON for what a reader needs, safetensors for the numbers, a hash over both.

Layout and hash are described for other languages in ``conformance/vectors/README.md``. Reading needs neither mpmath
nor the case definitions; nothing is unpickled.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError
from sdpo_ref.vectors.array import Array
from sdpo_ref.vectors.case import Answer, Case, Kind, KnownWrong, Option, Tolerance, content_hash

DERIVATION = "mpmath, 50 decimal digits, gradients by central differences with step 1e-20, rounded to float64"
"""How expected values came about, as recorded with every vector."""

_REPAIR = "restore the files of the release, or see `sdpo-ref vectors check`"


@dataclass(frozen=True)
class Vector:
    """One golden vector, as loaded; its content hash has been verified.

    Attributes:
        id: unique among all kinds.
        kind: the function that is called.
        requirements: ids of the specification.
        comment: the question.
        bug: which kind of bug the vector catches.
        effect: what that bug does in training.
        options: keyword arguments; ``k`` is an int, all other numbers are floats.
        inputs: tensors by name.
        expected: float64 tensors by name.
        tolerance: how exact an answer must be.
        known_wrong: what well-known defects give.
        derivation: where the expected values come from.
        dtype: element type of the floating-point inputs.
        sha256: content hash.
    """

    id: str
    kind: Kind
    requirements: tuple[str, ...]
    comment: str
    bug: str
    effect: str
    options: Mapping[str, Option]
    inputs: Mapping[str, Tensor]
    expected: Mapping[str, Tensor]
    tolerance: Tolerance
    known_wrong: tuple[KnownWrong, ...]
    derivation: str
    dtype: str
    sha256: str


def default_folder() -> Path:
    """Where the released vectors are."""
    return content("conformance") / "vectors"


def load(kind: Kind, folder: Path | None = None) -> tuple[Vector, ...]:
    """Every vector of a kind, small ones first, with verified content.

    Args:
        kind: which pair of files to read.
        folder: where the files are; the released ones by default.

    Returns:
        Vectors with tensors of their own.

    Raises:
        IntegrityError: if a file is missing or malformed, or a vector's content differs from its hash.
    """
    vectors = read_unverified(kind, folder or default_folder())
    for vector in vectors:
        found = actual_hash(vector)
        if found != vector.sha256:
            raise IntegrityError(
                f"vector {vector.id!r} has content hash {found[:12]}…, recorded is {vector.sha256[:12]}…; "
                f"its inputs, expected values, options or tolerance were changed: {_REPAIR}"
            )
    return vectors


def read_unverified(kind: Kind, folder: Path) -> tuple[Vector, ...]:
    """Every vector of a kind as the files have it, whatever its hash.

    Raises:
        IntegrityError: if a file is missing or malformed.
    """
    try:
        entries = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / f"{kind}.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise IntegrityError(f"the {kind} vectors in {folder} cannot be read ({error}); {_REPAIR}") from error
    try:
        return tuple(_vector(entry, tensors) for entry in entries)
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{kind}.json does not follow schema.json ({error!r}); {_REPAIR}") from error


def actual_hash(vector: Vector) -> str:
    """Content hash of a vector as loaded, to be compared with the recorded one."""
    tensors = {**vector.inputs, **vector.expected}
    return content_hash(vector.options, vector.tolerance, {name: _content(tensor) for name, tensor in tensors.items()})


def write(kind: Kind, answered: Sequence[tuple[Case, Answer]], folder: Path) -> None:
    """Replace the pair of files of a kind.

    Args:
        kind: of all the cases.
        answered: cases with their answers, in the order in which they are to be read.
        folder: where the files go.
    """
    tensors = {
        tensor_key(case, name): _tensor(tensor)
        for case, answer in answered
        for name, tensor in {**case.inputs, **answer.expected}.items()
    }
    entries = ",\n".join(_dumps(entry(case, answer)) for case, answer in answered)
    (folder / f"{kind}.safetensors").write_bytes(save(tensors, metadata={"kind": kind}))
    (folder / f"{kind}.json").write_text(f"[\n{entries}\n]\n", encoding="utf-8", newline="\n")


def tensor_key(case: Case, name: str) -> str:
    """Name of a tensor inside the safetensors file."""
    return f"{case.id}/{name}"


def entry(case: Case, answer: Answer) -> dict[str, Any]:
    """The JSON object of a case, content hash included."""
    tensors = {
        name: (tensor.dtype, tensor.shape, tensor.little_endian)
        for name, tensor in {**case.inputs, **answer.expected}.items()
    }
    return {
        "id": case.id,
        "kind": case.kind,
        "requirements": list(case.requirements),
        "comment": case.comment,
        "bug": case.hazard.bug,
        "effect": case.hazard.effect,
        "options": dict(case.options),
        "inputs": {name: tensor_key(case, name) for name in case.inputs},
        "expected": {name: tensor_key(case, name) for name in answer.expected},
        "tolerance": asdict(case.tolerance),
        "known_wrong": [{**asdict(wrong), "value": list(wrong.value)} for wrong in answer.known_wrong],
        "derivation": DERIVATION,
        "dtype": case.dtype,
        "sha256": content_hash(case.options, case.tolerance, tensors),
    }


def _dumps(fields: Mapping[str, Any]) -> str:
    """One case: a line for each field, and one for each known wrong number."""
    lines = []
    for name, value in fields.items():
        if name == "known_wrong" and value:
            items = ",\n    ".join(json.dumps(item, allow_nan=False) for item in value)
            lines.append(f'  "known_wrong": [\n    {items}\n  ]')
        else:
            lines.append(f"  {json.dumps(name)}: {json.dumps(value, allow_nan=False, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def _tensor(data: Array) -> Tensor:
    dtype: torch.dtype = getattr(torch, data.dtype)
    return torch.tensor(data.values, dtype=dtype).reshape(data.shape)


def _vector(fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Vector:
    rebuilt = {
        "requirements": tuple(fields["requirements"]),
        "inputs": {name: tensors[key] for name, key in fields["inputs"].items()},
        "expected": {name: tensors[key] for name, key in fields["expected"].items()},
        "tolerance": Tolerance(**fields["tolerance"]),
        "known_wrong": tuple(KnownWrong(**{**it, "value": tuple(it["value"])}) for it in fields["known_wrong"]),
    }
    return Vector(**{**fields, **rebuilt})


def _content(tensor: Tensor) -> tuple[str, tuple[int, ...], bytes]:
    elements = np.ascontiguousarray(tensor.numpy())
    data = elements.astype(elements.dtype.newbyteorder("<"), copy=False).tobytes()
    return str(elements.dtype), tuple(tensor.shape), data
