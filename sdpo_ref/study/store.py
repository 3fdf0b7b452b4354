"""Where finished tasks are kept: one SQLite file, one row for each task, one transaction for each row.

The file has a rollback journal and not a write-ahead log: it stays one file that can be copied when no study runs,
it can be read in a folder that is read-only, and it works on network file systems.

Each row has the hash of all that is in it, and is compared with it whenever it is read: SQLite would not notice a digit
that a disk has changed. A store of the first version has no hashes; it is given them when it is first written into.
"""

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sdpo_ref.errors import StoreError
from sdpo_ref.study.experiment import StudySettings
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.provenance import Provenance
from sdpo_ref.study.store_lock import WriterLock, store_errors


class Record(BaseModel):
    """A finished task.

    Attributes:
        key: of the task; see :class:`~sdpo_ref.study.experiment.Task`.
        settings: everything but the seed; no experiment is named, because several may share a task.
        seed: of the repeat.
        outcome: what was found.
        provenance: where it comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    settings: StudySettings
    seed: int
    outcome: Outcome
    provenance: Provenance


@dataclass(frozen=True)
class Entry:
    """A row without its numbers, readable also if another version of the code wrote it.

    Attributes:
        key: of the task.
        settings: as :func:`settings_text` writes them.
        seed: of the repeat.
        failed: whether the outcome is an error.
        wall_seconds: how long the task took, in seconds.
    """

    key: str
    settings: str
    seed: int
    failed: bool
    wall_seconds: float


def settings_text(settings: BaseModel) -> str:
    """Settings as JSON, equal for equal settings.

    Args:
        settings: of a task.

    Example:
        >>> from sdpo_ref.simulation.settings import RegimeSettings
        >>> settings_text(RegimeSettings())
        '{"noise": 0.15, "regime": "scalar", "spans": 4}'
    """
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)


APPLICATION_ID = 0x5344504F
"""Marks the file as one of this program in SQLite's header: "SDPO"."""

SCHEMA_VERSION = 2
"""Grows when a table changes; kept in SQLite's header. The first version has no hashes."""

_WITHOUT_HASHES = "SELECT key, settings, seed, outcome, provenance, wall_seconds"
_EVERYTHING = f"{_WITHOUT_HASHES}, sha256"

_TABLE = """task (
    key TEXT PRIMARY KEY,
    settings TEXT NOT NULL,
    seed INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    provenance TEXT NOT NULL,
    wall_seconds REAL NOT NULL,
    sha256 TEXT NOT NULL
) WITHOUT ROWID"""

_Row = tuple[str, str, int, str, str, float]
"""A row without its hash, in the order of the columns."""


def row_sha256(row: _Row) -> str:
    """The hash of everything in a row.

    Args:
        row: key, settings, seed, outcome, provenance and seconds, as they are stored.
    """
    return hashlib.sha256(json.dumps(row).encode()).hexdigest()


_PATIENCE = 30.0
"""Seconds to wait for another process that reads or writes just now."""


class Store:
    """Finished tasks by key. Open it with ``with``, or close it.

    Implements: SIM-140, SIM-141, SIM-142, SIM-143.

    Args:
        path: of the file. Opening for writing makes it and its folder, and keeps other writers out until it is closed.
        read_only: whether to look only; then the file has to exist.

    Attributes:
        path: of the file.
        upgraded: how many rows of an older version were given a hash when it was opened.

    Raises:
        StoreError: if the file is no store, or of a newer version, or another study is writing into it, or it cannot
            be opened; it is left as it was.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.upgraded = 0
        self._has_hashes = True
        self._writer: WriterLock | None = None
        with store_errors(path):
            if path.is_dir():
                raise StoreError(f"the store {path} cannot be used: it is a folder; name a file in it with --store")
            if read_only and not path.exists():
                raise StoreError(f"there is no store {path}; run `sdpo-ref study run`, or name its place with --store")
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            address = f"{path.resolve().as_uri()}?mode={'rw' if read_only else 'rwc'}"
            self._connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE)
        try:
            self._open(read_only=read_only)
        except BaseException:
            self.close()
            raise

    def keys(self) -> frozenset[str]:
        """Of all tasks in the store, by whatever version of the code."""
        with store_errors(self.path):
            return frozenset(key for (key,) in self._connection.execute("SELECT key FROM task"))

    def put(self, record: Record) -> None:
        """Keep a finished task; it is on disk when this returns, and a second one of its key takes its place.

        Args:
            record: of the task.

        Raises:
            StoreError: if it cannot be written; nothing has changed then.
        """
        row = (
            record.key,
            settings_text(record.settings),
            record.seed,
            json.dumps(record.outcome.model_dump(mode="json")),
            json.dumps(record.provenance.model_dump(mode="json", exclude={"wall_seconds"})),
            record.provenance.wall_seconds,
        )
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO task VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, row_sha256(row))
            )

    def outcomes(self, keys: Collection[str]) -> dict[str, Outcome]:
        """What some tasks found; those that are not in the store are left out.

        Args:
            keys: of the tasks.

        Raises:
            StoreError: if a row cannot be read.
        """
        return {record.key: record.outcome for record in self.records(keys)}

    def records(self, keys: Collection[str]) -> list[Record]:
        """The rows of some tasks, in the order of the keys; those that are not in the store are left out.

        Args:
            keys: of the tasks.

        Raises:
            StoreError: if a row cannot be read.
        """
        with store_errors(self.path):
            rows = [row for key in keys for row in self._rows("WHERE key = ?", key)]
        return [self._record(row) for row in rows]

    def entries(self) -> list[Entry]:
        """Every row without its numbers, whatever version of the code wrote it, in the order of the keys.

        Raises:
            StoreError: if a row is not what was written.
        """
        with store_errors(self.path):
            rows = self._rows("ORDER BY key")
        return [
            Entry(key, settings, seed, json.loads(outcome).get("error") is not None, wall_seconds)
            for key, settings, seed, outcome, _, wall_seconds in rows
        ]

    def close(self) -> None:
        """Let others write."""
        self._connection.close()
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def __enter__(self) -> "Store":  # noqa: PYI034 - beartype takes Self in decorated classes only
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, *, read_only: bool) -> None:
        with store_errors(self.path):
            blank = self._is_blank()
        if not read_only:
            self._writer = WriterLock(self.path)
            with self._transaction():
                if self._is_blank():
                    self._connection.execute(f"CREATE TABLE {_TABLE}")
                    self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                elif self._number("PRAGMA user_version") < SCHEMA_VERSION:
                    self._upgrade()
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")  # refused now if it ever will be
            return
        with store_errors(self.path):
            columns = self._number("SELECT count(*) FROM pragma_table_info('task') WHERE name = 'sha256'")
            self._has_hashes = blank or columns == 1 or self._number("PRAGMA user_version") == SCHEMA_VERSION
            if blank:  # a study was killed before its first row
                self._connection.execute(f"CREATE TEMP TABLE {_TABLE}")
            self._connection.execute("PRAGMA query_only = ON")

    def _is_blank(self) -> bool:
        """Whether nothing has been written yet; what others have written is refused."""
        identity = self._number("PRAGMA application_id")
        version = self._number("PRAGMA user_version")
        if identity == 0 and version == 0 and self._number("SELECT count(*) FROM sqlite_schema") == 0:
            return True
        if identity != APPLICATION_ID:
            raise StoreError(
                f"the store {self.path} cannot be used: it is a database of another program; name another place with "
                "--store"
            )
        if version not in range(1, SCHEMA_VERSION + 1):
            raise StoreError(
                f"the store {self.path} cannot be used: its schema has version {version} and this sdpo-ref reads 1 to "
                f"{SCHEMA_VERSION}; update sdpo-ref, or name another place with --store"
            )
        return False

    def _upgrade(self) -> None:
        """Give the rows of the first version their hashes; a row that is damaged already is refused."""
        self._has_hashes = False
        rows = self._rows("ORDER BY key")
        hashes = [(row_sha256(row), row[0]) for row in rows]
        self._connection.execute("ALTER TABLE task ADD COLUMN sha256 TEXT NOT NULL DEFAULT ''")
        self._connection.executemany("UPDATE task SET sha256 = ? WHERE key = ?", hashes)
        self._has_hashes, self.upgraded = True, len(rows)

    def _rows(self, which: str, *arguments: str) -> list[_Row]:
        """Rows as they were written; one that is something else is refused."""
        question = f"{_EVERYTHING if self._has_hashes else _WITHOUT_HASHES} FROM task {which}"
        found = self._connection.execute(question, arguments)
        return [self._as_written(*row) for row in found]

    def _as_written(self, *row: Any) -> _Row:
        key, settings, seed, outcome, provenance, wall_seconds, *hashed = row
        found = key, settings, seed, outcome, provenance, wall_seconds
        has_types = tuple(map(type, found)) == (str, str, int, str, str, float)
        if not (
            has_types
            and (hashed == [row_sha256(found)] if hashed else all(map(_is_object, (settings, outcome, provenance))))
        ):
            raise StoreError(
                f"the store {self.path} holds a row that is not what was written, {str(key)[:12]} with seed {seed}: it "
                "is damaged, or was edited; restore a copy, or delete that row, and run the same command again"
            )
        return found

    def _number(self, question: str) -> int:
        (found,) = self._connection.execute(question).fetchone()
        return int(found)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; starts by taking SQLite's write lock, so that what was read is still true when it writes."""
        with store_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise

    def _record(self, row: _Row) -> Record:
        key, settings, seed, outcome, provenance, wall_seconds = row
        try:
            return Record(
                key=key,
                settings=TypeAdapter[StudySettings](StudySettings).validate_json(settings),
                seed=seed,
                outcome=Outcome.model_validate(json.loads(outcome)),
                provenance=Provenance.model_validate({**json.loads(provenance), "wall_seconds": wall_seconds}),
            )
        except (ValueError, ValidationError) as error:
            raise StoreError(
                f"the store {self.path} holds a row that cannot be read, {key[:12]} with seed {seed}: {error}; move "
                "the file away, or delete that row, and run the same command again"
            ) from error


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
