"""Triton's interpreter, in which the fused loss is tested without a GPU, without its needless work."""

import importlib
import importlib.util
import os
from types import FunctionType


def patch_once() -> None:
    """Let the interpreter replace the language's functions once a kernel and not again for each helper of it.

    Looking for something that is left to replace takes 40 % of the interpreter's time.
    """
    if os.environ.get("TRITON_INTERPRET") != "1" or importlib.util.find_spec("triton") is None:
        return
    language = importlib.import_module("triton.language")
    interpreter = importlib.import_module("triton.runtime.interpreter")
    replace, nothing = interpreter._patch_lang, getattr(interpreter, "_LangPatchScope", None)
    if nothing is None:  # another release of Triton
        return
    modules = (language, language.core)

    def replace_once(function: FunctionType) -> object:
        visible = function.__globals__.values()
        replaced = all(
            not language.core.is_builtin(module.load) for module in modules if any(it is module for it in visible)
        )
        return nothing() if replaced else replace(function)

    vars(interpreter)["_patch_lang"] = replace_once
