"""One runner at a time: a lock beside the store, which the operating system takes back when its holder dies."""

import sqlite3
from contextlib import suppress
from pathlib import Path

from sdpo_ref.errors import StoreError
from sdpo_ref.study.store_problems import reported


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
        with reported(store):
            self._connection = sqlite3.connect(self._file, isolation_level=None, timeout=0.0)
        try:
            with reported(store):
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
