"""A program in any language as an implementation: one line of JSON for each request and each answer.

``sdpo-ref verify --cmd './impl --serve'`` is short for
``sdpo-ref verify "sdpo_ref.verification.entry.json_lines:make,command='./impl --serve'"``. What the lines hold is in
conformance/json-lines/README.md; the program needs nothing of this package.
"""

from types import SimpleNamespace

from sdpo_ref.errors import LoadError, UsageError
from sdpo_ref.verification.entry.json_lines.parts import REACHABLE, Parts
from sdpo_ref.verification.entry.json_lines.program import Program
from sdpo_ref.verification.suite.capabilities import CAPABILITIES, part_of

CALL_LIMIT = 10.0
"""Seconds that a program has for one answer, unless the factory is given another limit."""


def program_name(command: str, *, call_limit: float = CALL_LIMIT) -> str:
    r"""The name by which ``verify`` loads a program.

    The command stands in it as a Python string in which commas are written ``\x2c``, because an unquoted comma
    separates the options of a name.

    Args:
        command: the program and its arguments, quoted as in a shell.
        call_limit: as of :func:`make`.

    Returns:
        ``module:factory,key=value``.

    Example:
        >>> print(program_name("./impl --serve --only a,b=1"))
        sdpo_ref.verification.entry.json_lines:make,command='./impl --serve --only a\x2cb=1'
    """
    text = repr(command).replace(",", r"\x2c")
    limit = "" if call_limit == CALL_LIMIT else f",call_limit={call_limit:g}"
    return f"{__name__}:make,command={text}{limit}"


def make(command: str, call_limit: float = CALL_LIMIT) -> SimpleNamespace:
    """Start a program and ask it for its capabilities.

    Args:
        command: the program and its arguments, quoted as in a shell; no shell reads it.
        call_limit: seconds for one answer; positive. The first answer of each operation has 45 s, if that is longer.

    Returns:
        An implementation with the parts that the program declares.

    Raises:
        LoadError: if the program cannot be started, or does not introduce itself.
        UsageError: if it declares a capability that is unknown or cannot be reached through JSON lines.
    """
    if not call_limit > 0.0:
        raise UsageError(f"call_limit must be a positive number of seconds, received {call_limit}")
    program = Program(str(command), call_limit=call_limit)
    hello = program.introduce()
    unknown = sorted(set(hello.capabilities) - set(CAPABILITIES))
    if unknown:
        raise UsageError(f"{command} declares unknown capabilities {unknown}; allowed are {', '.join(CAPABILITIES)}")
    parts = {part_of(capability) for capability in hello.capabilities}
    beyond = sorted(parts - REACHABLE)
    if beyond:
        raise UsageError(
            f"{command} declares {', '.join(beyond)}, which cannot be reached through JSON lines because they take "
            "live objects or hidden states; leave them out of its capabilities"
        )
    if not parts:
        raise LoadError(f"{command} declares no capability; name what it offers, such as 'divergence', in its hello")
    answering = Parts(program)
    return SimpleNamespace(
        capabilities=hello.capabilities, **hello.declared, **{part: getattr(answering, part) for part in parts}
    )
