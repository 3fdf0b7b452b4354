"""Every small change of one file of the reference: operators, constants, axes, comparisons, calls left out.

Mutants of `sdpo_ref.mutants` are chosen by hand; these are not chosen at all, so they show what nobody thought of.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import sdpo_ref
from sdpo_ref.mutants.plant import altered_reference

_ROOT = Path(sdpo_ref.__file__).parent

_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}

_OMITTED = frozenset({"detach", "clamp", "exp", "log", "abs", "square", "sqrt", "neg", "flip", "double", "float", "to"})
"""Methods that may be left out: the object stands for the call."""


@dataclass(frozen=True)
class Variant:
    """A file with one small change.

    Attributes:
        file: below ``sdpo_ref``.
        line: where, in the file.
        before: what stood there.
        after: what stands there now.
        source: the whole file; called, because a file has hundreds of changes and few of them are looked at.
    """

    file: str
    line: int
    before: str
    after: str
    source: Callable[[], str] = field(compare=False, repr=False)


@cache
def variants(file: str) -> tuple[Variant, ...]:
    """Every small change of a file.

    Args:
        file: below ``sdpo_ref``, such as ``functional/divergence.py``.

    Returns:
        Variants in the order of their lines.
    """
    tree = ast.parse((_ROOT / file).read_text(encoding="utf-8"))
    computing = _computing(tree)
    sites = [(place, node) for place, node in enumerate(ast.walk(tree)) if id(node) in computing]
    found = [
        Variant(file, node.lineno, ast.unparse(node), ast.unparse(other), partial(_with_other, tree, place, other))
        for place, node in sites
        if isinstance(node, ast.expr)
        for other in _others(node)
    ]
    return tuple(sorted(found, key=lambda it: it.line))


def line_text(variant: Variant) -> str:
    """The line that a change begins on, without the blanks around it.

    Args:
        variant: one of :func:`variants`.

    Returns:
        The line as it stands in the file.
    """
    return (_ROOT / variant.file).read_text(encoding="utf-8").splitlines()[variant.line - 1].strip()


UNCHANGED = -1
"""Number of the file as it stands."""


def source_of(file: str, number: int) -> str:
    """The text of a file with one of its changes.

    Args:
        file: as for :func:`variants`.
        number: which; or :data:`UNCHANGED`.

    Returns:
        Python.
    """
    return (_ROOT / file).read_text(encoding="utf-8") if number == UNCHANGED else variants(file)[number].source()


def make(file: str, number: int, declares: str = "paper") -> object:
    """The reference with one of the changes.

    Args:
        file: as for :func:`variants`.
        number: which; or :data:`UNCHANGED`.
        declares: name of a published profile, or ``field:value`` for a choice that none of them makes.

    Returns:
        An implementation.
    """
    field, _, value = declares.partition(":")
    return altered_reference(file, source_of(file, number), profile={field: value} if value else declares)


def _computing(tree: ast.Module) -> frozenset[int]:
    """Nodes that compute something: not annotations, texts for people, or decorators."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        away: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef):
            away = [node.returns, *node.decorator_list, *(it.annotation for it in _arguments(node))]
        elif isinstance(node, ast.AnnAssign):
            away = [node.annotation]
        elif isinstance(node, ast.Raise):
            away = [node.exc]
        elif (
            isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp) and node.col_offset == 0
        ):
            away = [node.value]
        for root in away:
            silent |= {id(it) for it in ast.walk(root)} if root is not None else set()
    return frozenset(id(node) for node in ast.walk(tree)) - silent


def _arguments(node: ast.FunctionDef) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _others(node: ast.expr) -> Iterator[ast.expr]:
    """What may stand in the place of an expression."""
    match node:
        case ast.BinOp() | ast.BoolOp() | ast.Compare():
            yield from _with_other_operators(node)
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield operand
        case ast.Constant(bool() | int() | float()):
            yield from _other_constants(node.value)
        case ast.Call():
            yield from _other_calls(node)
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)


def _with_other_operators(node: ast.BinOp | ast.BoolOp | ast.Compare) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            for other in _OPERATORS.get(type(op), ()):
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)  # type: ignore[arg-type]
        return
    for other in _OPERATORS.get(type(node.op), ()):
        changed = copy.copy(node)
        changed.op = other()  # type: ignore[assignment]
        yield changed


def _other_constants(value: object) -> Iterator[ast.expr]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
        if value:
            yield ast.Constant(value * 0)


def _other_calls(node: ast.Call) -> Iterator[ast.expr]:
    """The object without the call, and a call with its two arguments exchanged."""
    if isinstance(node.func, ast.Attribute) and node.func.attr in _OMITTED:
        of_module = isinstance(node.func.value, ast.Name) and node.func.value.id in {"math", "torch"}
        if not of_module:
            yield node.func.value
    if len(node.args) == 2:
        yield ast.Call(node.func, node.args[::-1], node.keywords)


def _with_other(tree: ast.Module, place: int, other: ast.expr) -> str:
    """The text of a tree with one expression exchanged; places are those of ``ast.walk``."""
    copied = copy.deepcopy(tree)
    wanted = next(node for number, node in enumerate(ast.walk(copied)) if number == place)
    for parent in ast.walk(copied):
        for name, value in ast.iter_fields(parent):
            if value is wanted:
                setattr(parent, name, other)
            elif isinstance(value, list) and any(item is wanted for item in value):
                setattr(parent, name, [other if item is wanted else item for item in value])
    return ast.unparse(ast.fix_missing_locations(copied))
