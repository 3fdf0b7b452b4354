"""Files: nothing can be changed unnoticed, and everything is readable without this package."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdpo_ref.errors import IntegrityError
from sdpo_ref.vectors import store
from sdpo_ref.vectors.case import KINDS, Kind
from sdpo_ref.vectors.release import derive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the released files that may be spoilt."""
    return Path(shutil.copytree(store.default_folder(), tmp_path / "vectors"))


def rewrite(folder: Path, kind: Kind, name: str, tensor: torch.Tensor) -> None:
    tensors = load_file(folder / f"{kind}.safetensors")
    tensors[name] = tensor
    save_file(tensors, folder / f"{kind}.safetensors")


def edit(folder: Path, kind: Kind, old: str, new: str) -> None:
    path = folder / f"{kind}.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


KEY = "divergence-v3-alpha-0.25/value"


@pytest.mark.parametrize("kind", KINDS)
def test_released_files_load(kind: Kind) -> None:
    """Each kind has vectors, whose floating-point inputs have the stated dtype and whose answers are float64."""
    for vector in store.load(kind):
        assert vector.kind == kind
        assert {str(t.dtype) for t in vector.inputs.values() if t.is_floating_point()} == {f"torch.{vector.dtype}"}
        assert {t.dtype for t in vector.expected.values()} == {torch.float64}


def test_a_changed_element_is_noticed(folder: Path) -> None:
    """One unit in the last place of one expected value raises IntegrityError with the id."""
    value = load_file(folder / "divergence.safetensors")[KEY]
    rewrite(folder, "divergence", KEY, torch.nextafter(value, torch.ones(1, dtype=torch.float64)))
    with pytest.raises(IntegrityError, match=r"divergence-v3-alpha-0\.25"):
        store.load("divergence", folder)


def test_a_changed_dtype_is_noticed(folder: Path) -> None:
    """Expected values in float32 are not what was released."""
    rewrite(folder, "divergence", KEY, load_file(folder / "divergence.safetensors")[KEY].float())
    with pytest.raises(IntegrityError, match="content hash"):
        store.load("divergence", folder)


def test_a_changed_shape_is_noticed(folder: Path) -> None:
    """The same numbers in another shape are not what was released."""
    rewrite(folder, "divergence", KEY, load_file(folder / "divergence.safetensors")[KEY][None])
    with pytest.raises(IntegrityError, match="content hash"):
        store.load("divergence", folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"alpha": 0.25', '"alpha": 0.75'), ('"relative": 1e-10', '"relative": 0.5'), ('"k": 2', '"k": 3')],
)
def test_changed_options_and_tolerances_are_noticed(folder: Path, old: str, new: str) -> None:
    """What decides a verdict is hashed, not only tensors."""
    edit(folder, "divergence", old, new)
    with pytest.raises(IntegrityError, match="content hash"):
        store.load("divergence", folder)


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_missing_files_are_reported(folder: Path, suffix: str) -> None:
    """A missing file is an integrity error that names the folder."""
    (folder / f"average.{suffix}").unlink()
    with pytest.raises(IntegrityError, match="average vectors in"):
        store.load("average", folder)


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_broken_files_are_reported(folder: Path, suffix: str) -> None:
    """A truncated file is an integrity error."""
    path = folder / f"average.{suffix}"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(IntegrityError, match="cannot be read"):
        store.load("average", folder)


def test_missing_tensors_are_reported(folder: Path) -> None:
    """An entry that points nowhere is an integrity error."""
    edit(folder, "average", 'average-two-steps-rate-0.05/teacher"', 'nowhere"')
    with pytest.raises(IntegrityError, match="nowhere"):
        store.load("average", folder)


def test_hash_follows_its_description() -> None:
    """The content hash is what README.md says, computed here from the files without this package."""
    import hashlib

    folder = store.default_folder()
    entry: dict[str, Any] = next(e for e in json.loads((folder / "loss.json").read_text()) if e["options"]["k"])
    header, data = raw_safetensors(folder / "loss.safetensors")
    digest = hashlib.sha256()
    numbers = {f"option {k}": v for k, v in sorted(entry["options"].items())}
    numbers |= {f"tolerance {name}": entry["tolerance"][name] for name in ("absolute", "relative")}
    for name, value in numbers.items():
        shown = "null" if value is None else struct.pack(">d", value).hex() if isinstance(value, float) else value
        digest.update(f"{name}={shown}\n".encode())
    names = {"F64": "float64", "I64": "int64", "BOOL": "bool"}
    for name, key in sorted({**entry["inputs"], **entry["expected"]}.items()):
        shape = ",".join(str(length) for length in header[key]["shape"])
        start, stop = header[key]["data_offsets"]
        digest.update(f"{name} {names[header[key]['dtype']]} [{shape}]\n".encode() + data[start:stop])
    assert digest.hexdigest() == entry["sha256"]


def raw_safetensors(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


@pytest.mark.parametrize("kind", KINDS)
def test_files_hold_nothing_else(kind: Kind) -> None:
    """One metadata key (several would not be byte-deterministic), and no tensor that no case names."""
    folder = store.default_folder()
    header, _ = raw_safetensors(folder / f"{kind}.safetensors")
    assert header.pop("__metadata__") == {"kind": kind}
    entries = json.loads((folder / f"{kind}.json").read_text())
    assert {key for e in entries for key in (*e["inputs"].values(), *e["expected"].values())} == set(header)


def test_everything_is_small() -> None:
    """All files together stay below two megabytes."""
    assert sum(path.stat().st_size for path in store.default_folder().iterdir()) < 2_000_000


def test_writing_is_deterministic_and_loses_nothing(tmp_path: Path) -> None:
    """Two writes give equal bytes, and loading gives back the derived numbers."""
    answered = derive("trust_region")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        store.write("trust_region", answered, tmp_path / name)
    for suffix in ("json", "safetensors"):
        first, second = (tmp_path / name / f"trust_region.{suffix}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    for vector, (case, answer) in zip(store.load("trust_region", tmp_path / "first"), answered, strict=True):
        assert vector.options == case.options
        assert vector.known_wrong == answer.known_wrong
        assert vector.expected["log_probs"].tolist() == answer.expected["log_probs"].nested()
