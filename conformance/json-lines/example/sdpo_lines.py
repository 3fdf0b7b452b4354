"""Serve functions of NumPy arrays over JSON lines: copy this file beside your program. It needs Python 3.10 and NumPy.

``serve(capabilities, loss=loss)`` answers until standard input ends. A function is called with the arguments of its
operation, tensors as arrays (bfloat16 as float32, which holds it exactly), and returns an array, a number, or whatever
else the operation's value is. Where there is a gradient it returns the pair (value, gradient). It refuses arguments by
raising ValueError, and says that it does not offer an option by raising NotImplementedError. Anything else that is
raised ends the program, and is shown beside the failure. What is printed goes to standard error.
"""

import json
import math
import sys
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np

PROTOCOL = 1
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_NUMPY = {"bfloat16": "float32"}
_TEXTS = {"role", "content", "completion", "feedback", "demonstration"}


def serve(capabilities, *, name="", profile="paper", source=sys.stdin, target=None, **operations):
    """Answer each line of ``source`` with one line.

    Args:
        capabilities: what is offered; ids are in sdpo_ref/verification/suite/capabilities.py.
        name: what the report calls the program.
        profile: name of a published variant, or a mapping of profile fields.
        source: of the requests.
        target: of the answers; standard output if left out.
        operations: one function for each operation, such as ``loss``.
    """
    target = target or sys.stdout
    hello = {"protocol": PROTOCOL, "name": name, "capabilities": list(capabilities), "profile": profile}
    for line in source:
        request = json.loads(line)
        with redirect_stdout(sys.stderr):
            answer = {"result": hello} if request["op"] == "hello" else _answer(operations, request)
        print(json.dumps({"id": request["id"], **answer}), file=target, flush=True)


def _answer(operations, request):
    if request["op"] not in operations:
        return {"unsupported": request["op"]}
    try:
        found = operations[request["op"]](**{name: _read(it, name) for name, it in request["arguments"].items()})
    except NotImplementedError as error:
        return {"unsupported": str(error)}
    except ValueError as error:
        return {"error": str(error)}
    if isinstance(found, tuple):
        return {"result": {"value": _write(found[0]), "gradient": _tensor(found[1])}}
    return {"result": {"value": _write(found)}}


def _read(value, name=""):
    """A tensor as an array, another object as a namespace, a text that stands for a number as that number."""
    if isinstance(value, dict) and "dtype" in value:
        dtype = _NUMPY.get(value["dtype"], value["dtype"])
        return np.array([_SPECIAL.get(it, it) for it in value["data"]], dtype).reshape(value["shape"])
    if isinstance(value, dict):
        return SimpleNamespace(**{name: _read(it, name) for name, it in value.items()})
    if isinstance(value, list):
        return [_read(it, name) for it in value]
    return _SPECIAL.get(value, value) if name not in _TEXTS else value


def _write(value):
    """What an operation returns: a tensor, or an object or list of plain values and tensors."""
    return _plain(value) if isinstance(value, (dict, list)) else _tensor(value)


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(it) for name, it in value.items()}
    if isinstance(value, list):
        return [_plain(it) for it in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return _spelt(value) if isinstance(value, float) else _tensor(value)


def _tensor(value):
    array = np.asarray(value)
    dtype = {"f": str(array.dtype), "b": "bool", "i": "int64", "u": "int64"}[array.dtype.kind]
    return {"dtype": dtype, "shape": list(array.shape), "data": [_spelt(it) for it in array.ravel().tolist()]}


def _spelt(number):
    """JSON has no infinities and no NaN."""
    if math.isfinite(number):
        return number
    return "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"
