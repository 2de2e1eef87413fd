"""Find the function that serves a model at an alias, for a caller who named the model instead."""

from __future__ import annotations

from shearling.errors import ShearlingError


def function_hint(model: str, alias: str) -> str:
    """Return which functions serve `model` at `alias`, as a sentence that follows an error.

    Reads the registry at SHEARLING_REGISTRY; without it, or if nothing serves the alias there, the
    sentence says what a target is.
    """
    from shearling.registry.registry import Registry

    try:
        deployments = Registry().release_log.deployments(model)
    except ShearlingError:
        deployments = []
    functions = [item.function for item in deployments if alias in item.aliases]
    if not functions:
        return "A target is <function>:<alias>; `shearling status` shows the functions"
    targets = " and ".join(f"{function}:{alias}" for function in functions)
    return f"The model {model!r} is served by {targets}"
