"""The store keeps each task once, survives what happens to disks, and touches no file of others."""

import json
import os
import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.errors import SdpoRefError, StoreError
from sdpo_ref.study import store as store_module
from sdpo_ref.study.outcome import Curve, Outcome
from sdpo_ref.study.provenance import provenance
from sdpo_ref.study.store import SCHEMA_VERSION, Record, Store
from tests.study.tiny import answer, settings

FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def record(seed: int, outcome: Outcome | None = None) -> Record:
    """A finished task whose key is its seed."""
    asked = settings()
    return Record(
        key=f"key{seed}",
        settings=asked,
        seed=seed,
        outcome=outcome or answer(asked, seed),
        provenance=provenance(started=1e9 + seed, wall_seconds=0.25, simulator="reference"),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store of a test is."""
    return tmp_path / "study.sqlite"


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of a user whom permissions stop, which they do not stop root."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            folder.chmod(0o755)
            if root:
                os.seteuid(0)


def test_what_is_put_comes_back(path: Path) -> None:
    """Settings, seed, outcome and provenance are equal after the store was closed and opened."""
    with Store(path) as store:
        store.put(record(1))
        store.put(record(2))
    with Store(path, read_only=True) as store:
        assert store.keys() == {"key1", "key2"}
        assert store.records(["key2", "key0", "key1"]) == [record(2), record(1)]
        assert store.outcomes(["key1"]) == {"key1": record(1).outcome}


@given(
    metrics=st.dictionaries(st.text(), FLOATS, max_size=4),
    column=st.lists(FLOATS, max_size=3),
    error=st.none() | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)
def test_every_number_comes_back_bit_for_bit(metrics: dict[str, float], column: list[float], error: str | None) -> None:
    """Also NaN, infinities, negative zero, and texts with any character."""
    values = tuple(column)
    curve = Curve(step=tuple(range(len(values))), reward=values, entropy=values, distinctness=values, kl_to_base=values)
    sent = Outcome(metrics=metrics, curve=curve, error=error)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s") as store:
        store.put(record(1, sent))
        assert repr(store.outcomes(["key1"])["key1"]) == repr(sent)


def test_an_interrupt_inside_a_transaction_leaves_nothing_of_it(path: Path) -> None:
    """The next put starts afresh."""
    with Store(path) as store:

        def interrupted() -> None:
            with store._transaction():
                store._connection.execute("DELETE FROM task")
                raise KeyboardInterrupt

        store.put(record(1))
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        store.put(record(2))
        assert store.keys() == {"key1", "key2"}


def test_a_second_put_replaces(path: Path) -> None:
    """One row for each key."""
    with Store(path) as store:
        store.put(record(1))
        store.put(record(1, Outcome(error="late")))
        assert [entry.failed for entry in store.entries()] == [True]


def test_it_is_one_file(path: Path) -> None:
    """Neither a journal nor a lock stays behind, so the store can be copied; its folder is made."""
    deep = path.parent / "a" / "b" / "study.sqlite"
    with Store(deep) as store:
        store.put(record(1))
        assert {file.name for file in deep.parent.iterdir()} == {"study.sqlite", "study.sqlite.lock"}
    assert [file.name for file in deep.parent.iterdir()] == ["study.sqlite"]


def test_entries_are_read_whoever_wrote_them(path: Path) -> None:
    """Rows whose settings this version cannot read are counted, and named when their numbers are read."""
    with Store(path) as store:
        store.put(record(1))
        store._connection.execute('UPDATE task SET settings = \'{"kind": "walk"}\'')
        row = store._connection.execute("SELECT key, settings, seed, outcome, provenance, wall_seconds FROM task")
        store._connection.execute("UPDATE task SET sha256 = ?", (store_module.row_sha256(row.fetchone()),))
        assert [(entry.key, entry.seed, entry.wall_seconds) for entry in store.entries()] == [("key1", 1, 0.25)]
        with pytest.raises(StoreError, match=r"holds a row that cannot be read, key1 with seed 1"):
            store.outcomes(["key1"])


@pytest.mark.parametrize("length", [2, 40, 5000])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_of_another_kind_is_left_untouched(path: Path, length: int, *, read_only: bool) -> None:
    """It is refused by name, and not a byte of it or beside it changes."""
    path.write_text("x" * length)
    with pytest.raises(StoreError, match=r"study.sqlite cannot be used: it is a file of another kind; name another"):
        Store(path, read_only=read_only)
    assert path.read_text() == "x" * length
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            f"PRAGMA user_version = {SCHEMA_VERSION + 1}",
            r"its schema has version 3 and this sdpo-ref reads 1 to 2; update",
        ),
        ("PRAGMA application_id = 7", r"it is a database of another program; name another place"),
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_another_schema_or_program_is_left_untouched(path: Path, change: str, message: str, *, read_only: bool) -> None:
    """A newer version's store, and another program's database, are refused by name."""
    with Store(path) as store:
        store.put(record(1))
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=message):
        Store(path, read_only=read_only)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_another_programs_tables_are_not_taken_for_a_blank_file(path: Path) -> None:
    """A database without an id of its program, but with a table."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        Store(path)


def test_a_store_that_was_killed_at_birth_is_blank(path: Path) -> None:
    """An empty file has no rows, is not written by a process that only reads, and can be filled."""
    path.touch()
    with Store(path, read_only=True) as store:
        assert store.keys() == frozenset()
        assert store.entries() == []
    assert path.stat().st_size == 0
    with Store(path) as store:
        store.put(record(1))
        assert store.keys() == {"key1"}


def test_a_reader_cannot_write(path: Path) -> None:
    """Opened to look only, the store refuses a put."""
    Store(path).close()
    with Store(path, read_only=True) as store, pytest.raises(StoreError, match="it may only be read"):
        store.put(record(1))


def test_places_that_cannot_hold_a_store(path: Path) -> None:
    """A folder, a folder that is a file, and nothing where something is to be read."""
    with pytest.raises(StoreError, match=r"it is a folder; name a file in it"):
        Store(path.parent)
    path.touch()
    with pytest.raises(StoreError, match=r"File exists|Not a directory"):
        Store(path / "inner.sqlite")
    with pytest.raises(StoreError, match=r"there is no store .*; run `sdpo-ref study run`"):
        Store(path.with_name("nowhere"), read_only=True)


def test_one_writes_and_others_read(path: Path) -> None:
    """A second runner is refused at once and told so; a reader sees every row that is there."""
    with Store(path) as store:
        store.put(record(1))
        with pytest.raises(StoreError, match=r"is in use: another study is running into it; wait"):
            Store(path)
        with Store(path, read_only=True) as reader:
            store.put(record(2))
            assert reader.keys() == {"key1", "key2"}
        store.put(record(3))
    with Store(path) as store:
        assert store.keys() == {"key1", "key2", "key3"}


def test_a_store_that_another_program_has_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, then reported; what is there stays, and the next put works."""
    monkeypatch.setattr(store_module, "_PATIENCE", 0.05)
    with Store(path) as store:
        store.put(record(1))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"another program has locked it; wait until that is done"):
            store.put(record(2))
        other.execute("ROLLBACK")
        other.close()
        assert store.keys() == {"key1"}
        store.put(record(2))


def assert_full(store: Store, path: Path, reason: str) -> int:
    """Fill the disk, and return how many rows there are."""

    def fill() -> None:
        for seed in range(1000):
            store.put(record(seed))

    with pytest.raises(StoreError, match=reason) as caught:
        fill()
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, SdpoRefError)
    there = len(store.keys())
    assert there > 0
    assert store.records([f"key{seed}" for seed in range(there)]) == [record(seed) for seed in range(there)]
    return there


def test_a_full_disk_loses_nothing(path: Path) -> None:
    """SQLite's own limit: what was there before stays whole, and with space again it goes on."""
    with Store(path) as store:
        store._connection.execute("PRAGMA max_page_count = 20")
        there = assert_full(store, path, r"the disk is full; free some space and run the same command again")
        store._connection.execute("PRAGMA max_page_count = 1000")
        store.put(record(there))
        assert len(store.keys()) == there + 1


def test_a_quota_loses_nothing(path: Path) -> None:
    """The operating system's limit on the size of a file, met in the middle of a transaction."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store(path) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            there = assert_full(store, path, r"the disk or file system refuses .is it full, or over a quota")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        store.put(record(there))
    with Store(path, read_only=True) as store:
        assert len(store.keys()) == there + 1
        assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_folder_that_may_not_be_written(as_nobody: Path) -> None:
    """A new store there is refused; one that is there can still be read, and is refused to a writer unharmed."""
    old, new = as_nobody / "old.sqlite", as_nobody / "new.sqlite"
    with Store(old) as store:
        store.put(record(1))
    before = old.read_bytes()
    as_nobody.chmod(0o555)
    with pytest.raises(StoreError, match=r"new.sqlite cannot be used: the file cannot be opened or made there"):
        Store(new)
    with pytest.raises(StoreError, match=r"old.sqlite cannot be used: "):
        Store(old)
    with Store(old, read_only=True) as store:
        assert store.keys() == {"key1"}
    assert old.read_bytes() == before


def test_a_file_that_may_not_be_written(as_nobody: Path) -> None:
    """It is refused before anything runs, and can be read."""
    path = as_nobody / "study.sqlite"
    with Store(path) as store:
        store.put(record(1))
    path.chmod(0o444)
    with pytest.raises(StoreError, match=r"study.sqlite cannot be used: it may only be read; make the file"):
        Store(path)
    with Store(path, read_only=True) as store:
        assert store.keys() == {"key1"}


def test_a_damaged_file_is_reported(path: Path) -> None:
    """Pages that were overwritten are named as damage."""
    with Store(path) as store:
        for seed in range(50):
            store.put(record(seed))
    bytes_ = bytearray(path.read_bytes())
    bytes_[4096:] = b"\xff" * (len(bytes_) - 4096)
    path.write_bytes(bytes_)
    with Store(path, read_only=True) as store, pytest.raises(StoreError, match="the file is damaged"):
        store.keys()


CHANGES = {
    "a digit of a number": "UPDATE task SET outcome = replace(outcome, '0.', '1.')",
    "an outcome that is cut": "UPDATE task SET outcome = substr(outcome, 1, 20)",
    "an outcome that is no object": "UPDATE task SET outcome = '[]'",
    "no outcome": "UPDATE task SET outcome = CAST(x'00ff' AS BLOB)",
    "settings of another run": "UPDATE task SET settings = replace(settings, '3', '4')",
    "another seed": "UPDATE task SET seed = seed + 1",
    "another time": "UPDATE task SET wall_seconds = 0.5",
    "a time that is text": "UPDATE task SET wall_seconds = 'soon'",
    "another origin": "UPDATE task SET provenance = replace(provenance, 'reference', 'batched')",
    "another key": "UPDATE task SET key = 'key9'",
    "another hash": "UPDATE task SET sha256 = 'none'",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_row_that_is_not_what_was_written_is_refused(path: Path, change: str) -> None:
    """By name, wherever it is read: neither a traceback nor another number."""
    with Store(path) as store:
        store.put(record(1))
        before = store._connection.total_changes
        store._connection.execute(change)
        assert store._connection.total_changes == before + 1
    with Store(path, read_only=True) as store:
        (key,) = store.keys()
        for read in (store.entries, lambda: store.records([key]), lambda: store.outcomes([key])):
            with pytest.raises(StoreError, match=r"holds a row that is not what was written, key\d with seed"):
                read()


def of_the_first_version(path: Path) -> None:
    """A store as it was before rows had hashes."""
    with Store(path) as store:
        for seed in range(3):
            store.put(record(seed))
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE task DROP COLUMN sha256")
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_a_store_of_the_first_version_is_read_and_upgraded_once(path: Path) -> None:
    """Reading leaves it as it is; writing gives every row a hash, which is checked from then on."""
    of_the_first_version(path)
    before = path.read_bytes()
    keys = [f"key{seed}" for seed in range(3)]
    with Store(path, read_only=True) as store:
        assert (store.records(keys), store.upgraded) == ([record(seed) for seed in range(3)], 0)
    assert path.read_bytes() == before
    for upgraded in (3, 0):
        with Store(path) as store:
            assert (store.records(keys), store.upgraded) == ([record(seed) for seed in range(3)], upgraded)
    with Store(path) as store:
        store._connection.execute(CHANGES["a digit of a number"])
        with pytest.raises(StoreError, match="not what was written, key0"):
            store.entries()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_store_of_the_first_version_is_named(path: Path, *, read_only: bool) -> None:
    """What can be seen without a hash is seen, and no damaged row is given one."""
    of_the_first_version(path)
    with sqlite3.connect(path) as connection:
        connection.execute(CHANGES["an outcome that is cut"])
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not what was written, key0"), Store(path, read_only=read_only) as store:
        store.entries()
    assert path.read_bytes() == before


def test_rows_are_plain_json(path: Path) -> None:
    """Another program reads a store without this package."""
    with Store(path) as store:
        store.put(record(1))
    connection = sqlite3.connect(path)
    settings_text, outcome, origin_text = connection.execute(
        "SELECT settings, outcome, provenance FROM task"
    ).fetchone()
    connection.close()
    assert json.loads(settings_text)["method"]["method"] == "rloo"
    assert json.loads(outcome)["metrics"]["final_reward"] == answer(settings(), 1).metrics["final_reward"]
    assert json.loads(origin_text)["package"] == record(1).provenance.package
