"""The pytest plugin: registers the markers, stores the implementation, and skips what does not apply.

``sdpo-ref verify`` uses it inside its worker. It also works by itself, for a debugger or another test suite: ``pytest
PATH/conformance -c PATH/conformance/pytest.ini -p sdpo_ref.verification.isolation.plugin --impl my_sdpo:make``.
"""

from collections.abc import Collection, Generator, Iterable, Mapping

import pytest

from sdpo_ref._resources import content
from sdpo_ref.errors import SdpoRefError
from sdpo_ref.verification.checks.mismatch import ChangedProcessError, NotAskedError
from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.isolation.loader import BY_NAME, Loaded, load
from sdpo_ref.verification.isolation.outcome import classify
from sdpo_ref.verification.isolation.surroundings import Surroundings
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import not_declared, not_offered
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.silent import UNDECIDED, is_not_asked, silent
from sdpo_ref.verification.suite.spec_text import read_catalogue

implementation_key = pytest.StashKey[Loaded]()
"""Where a check's fixtures find the implementation: ``request.config.stash[implementation_key]``."""

REQUIREMENT = "requirement"
NEEDS = "needs"
not_applicable_key = pytest.StashKey[str]()
"""Set on a check that was skipped because the implementation does not declare what it needs: the reason."""

_MARKERS = (
    f"{REQUIREMENT}(*ids): the requirements of spec/ that the check decides",
    f"{NEEDS}(*capabilities): what this check calls, where that differs from the needs of its requirements",
)


class SuitePlugin:
    """Gives the checks their implementation, and skips those that need what it does not declare."""

    def __init__(self, catalogue: Catalogue, loaded: Loaded | None) -> None:
        self._catalogue = catalogue
        self._loaded = loaded
        self._surroundings: Surroundings | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        """Register the markers and put the implementation where fixtures find it."""
        for marker in _MARKERS:
            config.addinivalue_line("markers", marker)
        if self._loaded is not None:
            config.stash[implementation_key] = self._loaded

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a check before any of its fixtures is made, if it needs what is not declared."""
        if self._surroundings is None:
            self._surroundings = Surroundings()
        self._surroundings.restore(in_checks=True)
        if self._loaded is None:
            return
        missing = not_declared(needs_of(item, self._catalogue), self._loaded.capabilities)
        if missing:
            item.stash[not_applicable_key] = not_offered(missing)
            pytest.skip(item.stash[not_applicable_key])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Skip a check that finds that what it asks for is not on offer; blame what has changed the process under it.

        Raises:
            ImplementationRaisedError: if the check broke, and the implementation had changed the process meanwhile.
        """
        try:
            return (yield)
        except NotAskedError as reason:
            item.stash[not_applicable_key] = str(reason)
            pytest.skip(str(reason))
        except Exception as error:
            changed = () if self._surroundings is None else self._surroundings.changed(in_checks=True)
            if not changed or classify(error)[0] is not Status.INVALID:
                raise
            raise ChangedProcessError(changed, error) from error


class SilentPlugin:
    """Does not run what calls a capability that has failed its simplest call: it would say the same once more."""

    def __init__(self, silent: Collection[str] = ()) -> None:
        self._silent = set(silent)
        self._checks: Mapping[str, Check] = {}

    def collected(self, checks: Iterable[Check]) -> None:
        """Note what each check calls."""
        self._checks = {check.id: check for check in checks}

    def failed(self, name: str) -> None:
        """Note a check that has failed."""
        self._silent |= silent([self._checks[name]], {name: Status.FAIL})

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip such a check."""
        if is_not_asked(self._checks[item.nodeid], self._silent):
            pytest.skip(UNDECIDED)


def needs_of(item: pytest.Item, catalogue: Catalogue) -> tuple[str, ...]:
    """Capabilities without which a check is skipped: those that it is marked with, or else its requirements' own."""
    known = catalogue.requirements
    of_requirements = [need for name in marked(item, REQUIREMENT) if name in known for need in known[name].needs]
    return marked(item, NEEDS) or tuple(dict.fromkeys(of_requirements))


def marked(item: pytest.Item, name: str) -> tuple[str, ...]:
    """Arguments of all markers of a name, outermost first, each once."""
    markers: Iterable[pytest.Mark] = reversed(list(item.iter_markers(name)))
    return tuple(dict.fromkeys(str(argument) for marker in markers for argument in marker.args))


def name_of_implementation(config: pytest.Config) -> str:
    """The ``module:factory`` text with which another process can load the implementation.

    Without one, because the implementation is an object, the check that asks is not decided.
    """
    spec = config.stash[implementation_key].spec
    if spec is None:
        pytest.skip(BY_NAME)
    return spec


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--impl`` for use without ``sdpo-ref verify``."""
    group = parser.getgroup("sdpo-ref")
    group.addoption("--impl", default="reference", help="module:factory[,key=value] of the implementation to verify")


def pytest_configure(config: pytest.Config) -> None:
    """Load the implementation named by ``--impl``.

    Raises:
        pytest.UsageError: if it cannot be loaded.
    """
    try:
        plugin = SuitePlugin(read_catalogue(content("spec")), load(config.getoption("--impl")))
    except SdpoRefError as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(plugin, "sdpo-ref-suite")
