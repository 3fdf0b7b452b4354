"""``path/to/my_sdpo.py:make`` as an implementation: a file that need not lie in the working directory.

``sdpo-ref verify path/to/my_sdpo.py:make,key=value`` is short for ``sdpo-ref verify
"sdpo_ref.verification.entry.from_file:load,sdpo_file='/.../my_sdpo.py',sdpo_factory='make',key=value"``. The file's
folder is searched for what it imports; one that belongs to a package is imported as a part of that.
"""

import difflib
import importlib.util
import inspect
import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

from sdpo_ref._loading import summary, where
from sdpo_ref.errors import LoadError, SdpoRefError

_FILE = re.compile(r"(?P<path>(?:[A-Za-z]:)?[^:]*\.py):(?P<factory>[^,]+)(?P<options>,.*)?", re.DOTALL)


def importable(name: str) -> str:
    """The name of an implementation as ``module:factory``, whether it names a module or a file.

    Args:
        name: ``module:factory[,key=value]`` or ``path/to/file.py:factory[,key=value]``.

    Example:
        >>> importable("my_sdpo:make,alpha=1")
        'my_sdpo:make,alpha=1'
    """
    found = _FILE.fullmatch(name.strip())
    if found is None:
        return name
    path = repr(str(Path(found["path"]).resolve())).replace(",", r"\x2c")
    return f"{__name__}:load,sdpo_file={path},sdpo_factory={found['factory'].strip()!r}{found['options'] or ''}"


def load(*, sdpo_file: str, sdpo_factory: str, **options: object) -> object:
    """Import a file and call its factory.

    Args:
        sdpo_file: its path.
        sdpo_factory: name of the factory in it, or of the implementation itself.
        options: of the factory.

    Returns:
        The implementation.

    Raises:
        LoadError: if there is no such file or factory, or importing or calling it raises.
    """
    path = Path(str(sdpo_file))
    found: object = _imported(path)
    for name in str(sdpo_factory).split("."):
        if not hasattr(found, name):
            public = [entry for entry in vars(_imported(path)) if not entry.startswith("_")]
            near = difflib.get_close_matches(name, public, n=3)
            raise LoadError(f"{path} has no {name!r}" + (f"; it has {', '.join(near)}" if near else ""))
        found = getattr(found, name)
    if not (inspect.isclass(found) or inspect.isroutine(found) or isinstance(found, partial)):
        if options:
            raise LoadError(f"{sdpo_factory} in {path} is not a function, so it takes no {set(options)}")
        return found
    try:
        return found(**options)
    except SdpoRefError:
        raise
    except (Exception, SystemExit) as error:
        call = f"{sdpo_factory}({', '.join(f'{key}={value!r}' for key, value in options.items())})"
        place = where(error, machinery=__file__)
        raise LoadError(f"{call} in {path} raised {summary(error)} ({place})") from error


def _imported(path: Path) -> ModuleType:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.glob("*.py")], n=1)
        raise LoadError(f"there is no file {path}" + (f"; did you mean {path.with_name(near[0])}?" if near else ""))
    names, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        names, folder = [folder.name, *names], folder.parent
    if not all(name.isidentifier() for name in names):
        raise LoadError(f"{path} cannot be imported: {'.'.join(names)} is no name of a module; rename it")
    dotted = ".".join(names)
    known = sys.modules.get(dotted)
    if known is not None and known.__file__ is not None and Path(known.__file__).resolve() == path.resolve():
        return known
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        if len(names) > 1:
            return importlib.import_module(dotted)
        spec = importlib.util.spec_from_file_location(dotted, path)
        assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - it ends with .py; for mypy
        module = sys.modules[dotted] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(dotted, None)
        raise LoadError(f"importing {path} raised {summary(error)} ({where(error, machinery=__file__)})") from error
    return module
