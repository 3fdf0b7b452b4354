"""What an implementation can change about its process, so that no change is taken for a fault of the suite.

A factory may change the working directory, the environment, the search path, PyTorch's defaults, warnings, signal
handlers and more, and be right: scripts do. What it found is remembered before it is loaded. Afterwards the suite has
it back, and what the implementation has chosen for its own computing is in force while its parts are called. Processes
that load it again begin as this one did.
"""

import contextlib
import functools
import gc
import inspect
import locale
import os
import signal
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
import torch

from sdpo_ref.verification.suite.capabilities import PARTS

_PYTESTS_OWN = "PYTEST_CURRENT_TEST"
_SIGNALS = ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGCHLD", "SIGPIPE")


@dataclass(frozen=True)
class _Setting:
    """One thing that a process has one of.

    Attributes:
        get: a value that can be compared.
        put: makes it so again.
        of_parts: whether an implementation may need its own while its parts are called.
        in_checks: whether a check leaves it as it was, so that a change is the implementation's.
    """

    get: Callable[[], Any]
    put: Callable[[Any], object]
    of_parts: bool = False
    in_checks: bool = True


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - compared as text
    except OSError:  # it was removed
        return None


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name != _PYTESTS_OWN}


def _set_environment(wanted: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name not in wanted and name != _PYTESTS_OWN]:
        del os.environ[name]
    for name, text in wanted.items():
        if os.environ.get(name) != text:
            os.environ[name] = text


def _set_warnings(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever its type says
    warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 - or a cache keeps the others


def _handlers() -> dict[str, Any]:
    return {name: signal.getsignal(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)}


def _set_handlers(handlers: Mapping[str, Any]) -> None:
    for name, handler in handlers.items():
        if handler is not None:
            signal.signal(getattr(signal, name), handler)


def _has_alarm() -> bool:
    return hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _streams() -> tuple[Any, ...]:
    """Standard input, output and error, and whether each can be used."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return (*streams, *(getattr(stream, "closed", False) for stream in streams))


def _set_streams(wanted: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = (_opened(stream, number) for number, stream in enumerate(wanted[:3]))


def _opened(stream: Any, number: int) -> Any:
    """A stream that can be used: it was closed, and its descriptor may have been, too."""
    if not getattr(stream, "closed", False):
        return stream
    try:
        os.fstat(number)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    return os.fdopen(number, "w" if number else "r", encoding="utf-8", errors="replace", closefd=False)


def _device() -> str | None:
    """The default device; ``None`` for the one that PyTorch begins with, which costs nothing to set."""
    device = str(torch.get_default_device())
    return None if device == "cpu" else device


def _autocast() -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")


def _set_autocast(wanted: tuple[bool, torch.dtype]) -> None:
    torch.set_autocast_enabled("cpu", wanted[0])
    torch.set_autocast_dtype("cpu", wanted[1])


class _Profile(str):
    """Settings of Hypothesis, which are equal if their texts are."""

    __slots__ = ("settings",)
    settings: hypothesis.settings


def _hypothesis() -> _Profile:
    found = _Profile(repr(hypothesis.settings.default))
    found.settings = hypothesis.settings()
    return found


def _set_hypothesis(wanted: _Profile) -> None:
    hypothesis.settings.register_profile("sdpo-ref-restored", wanted.settings)
    hypothesis.settings.load_profile("sdpo-ref-restored")


def _set_mpmath(precision: int) -> None:
    sys.modules["mpmath"].mp.prec = precision


_SETTINGS: Mapping[str, _Setting] = {
    "the working directory": _Setting(_folder, os.chdir, of_parts=True),
    "environment variables": _Setting(_environment, _set_environment, of_parts=True, in_checks=False),
    "sys.path": _Setting(lambda: list(sys.path), lambda wanted: setattr(sys, "path", list(wanted)), of_parts=True),
    "PyTorch's default dtype": _Setting(torch.get_default_dtype, torch.set_default_dtype, of_parts=True),
    "PyTorch's default device": _Setting(_device, torch.set_default_device, of_parts=True),
    "gradient mode": _Setting(torch.is_grad_enabled, torch.set_grad_enabled, of_parts=True),
    "autocast": _Setting(_autocast, _set_autocast, of_parts=True),
    "deterministic algorithms": _Setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, of_parts=True
    ),
    "the precision of float32 products": _Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, of_parts=True
    ),
    "the recursion limit": _Setting(sys.getrecursionlimit, sys.setrecursionlimit, of_parts=True),
    "the locale": _Setting(
        lambda: locale.setlocale(locale.LC_ALL), lambda wanted: locale.setlocale(locale.LC_ALL, wanted), of_parts=True
    ),
    "NumPy's error state": _Setting(np.geterr, lambda wanted: np.seterr(**wanted), of_parts=True),
    "mpmath's precision": _Setting(lambda: sys.modules["mpmath"].mp.prec, _set_mpmath, of_parts=True, in_checks=False),
    "anomaly detection": _Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "the number of PyTorch's threads": _Setting(torch.get_num_threads, torch.set_num_threads),
    "Hypothesis's settings": _Setting(_hypothesis, _set_hypothesis),
    "garbage collection": _Setting(gc.isenabled, lambda wanted: gc.enable() if wanted else gc.disable()),
    "warning filters": _Setting(lambda: list(warnings.filters), _set_warnings, in_checks=False),
    "signal handlers": _Setting(_handlers, _set_handlers, in_checks=False),
    "an alarm": _Setting(_has_alarm, lambda _wanted: signal.setitimer(signal.ITIMER_REAL, 0), in_checks=False),
    "tracing": _Setting(sys.gettrace, sys.settrace, in_checks=False),
    "profiling": _Setting(sys.getprofile, sys.setprofile, in_checks=False),
    "standard streams": _Setting(_streams, _set_streams, in_checks=False),
}
"""By what a person calls it."""


class Surroundings:
    """The settings of a process at one moment."""

    def __init__(self) -> None:
        self._found = {name: _value(setting) for name, setting in _SETTINGS.items()}

    def changed(self, *, in_checks: bool = False) -> tuple[str, ...]:
        """What is different now, in words.

        Args:
            in_checks: leave out what a check changes itself.
        """
        wanted = (name for name, setting in _SETTINGS.items() if setting.in_checks or not in_checks)
        return tuple(name for name in wanted if not _equal(self._found[name], _value(_SETTINGS[name])))

    def restore(self, *, in_checks: bool = False) -> tuple[str, ...]:
        """Make what is different as it was.

        Args:
            in_checks: leave out what a check changes itself.

        Returns:
            What was different.
        """
        changed = self.changed(in_checks=in_checks)
        self._put(changed)
        return changed

    @property
    def folder(self) -> str | None:
        """The working directory; ``None`` if it did not exist."""
        found: str | None = self._found["the working directory"]
        return found

    def environment(self) -> dict[str, str]:
        """The environment in which another Python finds the modules that this one did."""
        path = os.pathsep.join(str(entry) for entry in self._found["sys.path"] if entry)
        return {**self._found["environment variables"], "PYTHONPATH": path}

    @contextlib.contextmanager
    def in_force(self, names: Collection[str]) -> Iterator[None]:
        """Some of these settings, for as long as the context lasts."""
        before = {name: _value(_SETTINGS[name]) for name in names}
        self._put(names)
        try:
            yield
        finally:
            for name, value in before.items():
                _put(name, value)

    def _put(self, names: Collection[str]) -> None:
        for name in names:
            _put(name, self._found[name])


class Guest:
    """An implementation whose parts are called under the settings that it chose when it was loaded.

    A part that raises when it is looked up raises when it is called; anything else that does is not there.

    Args:
        implementation: with some of the parts.
        own: the settings that it left.
        names: of those that differ from the suite's.
    """

    def __init__(self, implementation: object, own: Surroundings, names: Collection[str]) -> None:
        self._guest = implementation, own, names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        implementation, own, names = self._guest
        try:
            found = getattr(implementation, name)
        except AttributeError:
            raise
        except Exception as error:
            if name not in PARTS or inspect.getattr_static(implementation, name, None) is None:
                raise AttributeError(name) from error
            return functools.partial(_raise, error)
        if name not in PARTS or not callable(found):
            return found

        @functools.wraps(found, updated=())
        def part(*arguments: object, **options: object) -> object:
            with own.in_force(names):
                return found(*arguments, **options)

        return part


def _raise(error: Exception, *_: object, **__: object) -> object:
    raise error


_began: list[Surroundings] = []
"""The surroundings in which the last implementation was loaded."""


def begin() -> Surroundings:
    """Remember the surroundings, because an implementation is loaded now."""
    _began[:] = [Surroundings()]
    return _began[0]


def began() -> Surroundings:
    """Those of the last :func:`begin`; those of now, if there was none."""
    return _began[0] if _began else Surroundings()


def as_guest(implementation: object, before: Surroundings) -> object:
    """Give the suite its surroundings back once an implementation is loaded, and the implementation its own.

    Args:
        implementation: just loaded.
        before: the surroundings in which that began.

    Returns:
        The implementation, or the same under the settings that it chose, if it chose some that concern its parts.
    """
    own = Surroundings()
    names = [name for name in before.restore() if _SETTINGS[name].of_parts]
    return Guest(implementation, own, names) if names or _is_odd(implementation) else implementation


def _is_odd(implementation: object) -> bool:
    """Whether looking up what it may not have raises something else than AttributeError."""
    try:
        for name in (*PARTS, "name", "profile", "capabilities", "precision"):
            getattr(implementation, name, None)
    except Exception:  # noqa: BLE001 - of a property or a __getattr__ that is not ours
        return True
    return False


def _value(setting: _Setting) -> Any:
    try:
        return setting.get()
    except Exception:  # noqa: BLE001 - what cannot be read is not restored either
        return None


def _put(name: str, value: Any) -> None:
    if value is not None or name in ("PyTorch's default device", "tracing", "profiling"):
        with contextlib.suppress(Exception):
            _SETTINGS[name].put(value)


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - an object that is not ours
        return one is other
