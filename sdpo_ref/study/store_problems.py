"""What SQLite complains about, in words: path, reason, and what to do."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sdpo_ref.errors import StoreError

_REASONS: Mapping[int, str] = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and run the same command again",
    sqlite3.SQLITE_IOERR: "the disk or file system refuses (is it full, or over a quota?); mend that and run the same "
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
def reported(path: Path) -> Iterator[None]:
    """Turn what SQLite or the file system raises into an error of ours.

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
        said = f" (SQLite says: {error})"
        raise StoreError(f"the store {path} cannot be used: {reason or 'an unforeseen problem'}{said}") from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be used: {error.strerror or error}; change the permissions or name another place "
            "with --store"
        ) from error
