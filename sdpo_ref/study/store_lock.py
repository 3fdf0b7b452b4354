"""One runner at a time, and what SQLite complains about, in words.

The lock beside the store is taken back by the operating system when its holder dies.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sdpo_ref.errors import StoreError

_REASONS: Mapping[int, str] = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and run the same command again",
    sqlite3.SQLITE_IOERR: "the disk or file system refuses (is it full, or over a quota?); fix that and run the same "
    "command again",
    sqlite3.SQLITE_READONLY: "it may only be read; make the file and its folder writable, or name another place with "
    "--store",
    sqlite3.SQLITE_PERM: "permission is denied; change the permissions, or name another place with --store",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or made there; create the folder or change its permissions, or "
    "name another place with --store",
    sqlite3.SQLITE_BUSY: "another program has locked it; wait until that is done, or name another place with --store",
    sqlite3.SQLITE_LOCKED: "another program has locked it; wait until that is done, or name another place with --store",
    sqlite3.SQLITE_NOTADB: "it is a file of another kind; name another place with --store",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore a copy, or move it away and run the study anew",
}
"""Primary result code of SQLite to reason and fix."""

_PRIMARY = 0xFF
"""Extended result codes hold the primary one in their lowest byte."""


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite or the file system raises into an error of this package.

    Implements: SIM-144.

    Args:
        path: of the store.

    Raises:
        StoreError: saying path, reason and what to do.
    """
    try:
        yield
    except sqlite3.Error as error:
        reason = _REASONS.get(getattr(error, "sqlite_errorcode", 0) & _PRIMARY)
        detail = f" (SQLite says: {error})"
        raise StoreError(f"the store {path} cannot be used: {reason or 'an unforeseen problem'}{detail}") from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be used: {error.strerror or error}; change the permissions or name another place "
            "with --store"
        ) from error


class WriterLock:
    """The right to run tasks into a store; others may read meanwhile.

    The lock is SQLite's on an empty file of its own, so it works wherever the store does and needs no clean-up after
    a kill. A lock on the store itself would keep readers out for as long as a study runs.

    Args:
        store: path of the store.

    Raises:
        StoreError: if another runner has the right, or the folder cannot be written.
    """

    def __init__(self, store: Path) -> None:
        self._file = store.with_name(f"{store.name}.lock")
        with store_errors(store):
            self._connection = sqlite3.connect(self._file, isolation_level=None, timeout=0.0)
        try:
            with store_errors(store):
                self._connection.execute("PRAGMA journal_mode = OFF")  # nothing is ever written to the file
                self._connection.execute("BEGIN EXCLUSIVE")
        except StoreError as error:
            self._connection.close()
            if isinstance(error.__cause__, sqlite3.OperationalError) and _is_busy(error.__cause__):
                raise StoreError(
                    f"the store {store} is in use: another study is running into it; wait until that is done (sdpo-ref "
                    "study status says how far it is), or name another place with --store"
                ) from error
            raise

    def release(self) -> None:
        """Let others run. The file goes while the lock is still held; one that stays behind does no harm."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        self._connection.close()


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
