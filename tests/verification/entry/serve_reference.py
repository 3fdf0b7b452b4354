"""The bundled reference as a program that answers JSON lines: every reachable part."""

import json
import sys
from collections.abc import Callable
from typing import Any

import torch

from sdpo_ref.bundled import make
from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols.parts import Attempt
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.types import DistillationBatch, Support
from sdpo_ref.verification.entry.json_lines.parts import REACHABLE
from sdpo_ref.verification.entry.json_lines.tensors import decode_tensor, encode_tensor
from sdpo_ref.verification.suite.capabilities import CAPABILITIES, part_of

REFERENCE = make()
SPECIAL = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


def _batch(fields: dict[str, Any]) -> DistillationBatch:
    tensors: dict[str, Any] = {name: None if it is None else decode_tensor(it) for name, it in fields.items()}
    batch = DistillationBatch(**tensors)
    batch.student_logits.requires_grad_()
    return batch


def _plain(value: Any) -> Any:
    return decode_tensor(value) if isinstance(value, dict) else _number(value)


def _number(value: Any) -> Any:
    return SPECIAL.get(value, value) if isinstance(value, str) else value


READERS: dict[str, Callable[[Any], Any]] = {
    "batch": _batch,
    "support": lambda fields: Support(fields["kind"], fields["k"]),
    "rules": lambda fields: ContextRules(**{name: _number(value) for name, value in fields.items()}),
    "attempts": lambda entries: [
        Attempt(**{**entry, "prompt": tuple(entry["prompt"]), "reward": float(_number(entry["reward"]))})
        for entry in entries
    ],
    "prompt": tuple,
    "demonstration": lambda text: text,
    "student": lambda entries: [(decode_tensor(entry["b"]), decode_tensor(entry["a"])) for entry in entries],
    "end_ids": frozenset,
}
"""How an argument is read, where it is neither a tensor nor a number."""

KEYWORDS = {"alpha", "support", "temperature", "ratio_cap", "reward_weight", "skip_tokens", "end_ids", "mix"} | {
    "update_rate"
}
"""Arguments that the parts take by name; all others come by position, in the order in which they are sent."""


def _value(op: str, result: Any) -> Any:
    match op:
        case "context":
            return [{"messages": list(context.messages), "usable": context.usable} for context in result]
        case "demonstration_context":
            return list(result)
        case "low_rank_average":
            return list(map(encode_tensor, result))
        case "defaults":
            return dict(result)
    return encode_tensor(result)


def _result(op: str, arguments: dict[str, Any], *, gradient: bool) -> dict[str, Any]:
    given = {name: READERS.get(name, _plain)(value) for name, value in arguments.items()}
    if gradient:
        student = given["batch"].student_logits if "batch" in given else given["student_log_probs"].requires_grad_()
    positional = [value for name, value in given.items() if name not in KEYWORDS]
    found = getattr(REFERENCE, op)(*positional, **{name: given[name] for name in given if name in KEYWORDS})
    answer = {"value": _value(op, found)}
    if gradient:
        answer["gradient"] = encode_tensor(torch.autograd.grad(found.sum(), student)[0])
    return answer


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request, without its id."""
    if request["op"] == "hello":
        offered = [capability for capability in CAPABILITIES if part_of(capability) in REACHABLE]
        return {"result": {"protocol": 1, "name": "reference behind JSON lines", "capabilities": offered}}
    try:
        return {"result": _result(request["op"], request["arguments"], gradient=request["gradient"])}
    except InvalidInputError as error:
        return {"error": str(error)}
    except NotImplementedError as error:
        return {"unsupported": str(error)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        sys.stdout.write(f"{json.dumps({'id': request['id'], **reply(request)})}\n")
        sys.stdout.flush()
