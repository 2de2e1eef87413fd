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
        deployments = Registry.existing(None).release_log.deployments(model)
    except ShearlingError:
        deployments = []
    functions = [item.function for item in deployments if alias in item.aliases]
    if not functions:
        general = "A target is <function>:<alias>; `shearling status` shows the functions"
        return general + local_hint(model, alias)
    targets = " and ".join(f"{function}:{alias}" for function in functions)
    return f"The model {model!r} is served by {targets}"


def local_hint(model: str, alias: str) -> str:
    """Return how to serve a model of a local registry, to end an error with; empty for others.

    No function can read the registry of a directory, so its models are on this machine only.
    """
    from shearling.registry.registry import Registry
    from shearling.storage.uris import DirectoryPlace, parse_uri

    try:
        registry = Registry.existing(None)
        if not isinstance(parse_uri(registry.store.uri), DirectoryPlace):
            return ""
        registry.resolve(model)  # raises an error if the model does not exist
        ref = f"{model}:{alias}" if alias in registry.aliases(model) else model
    except ShearlingError:
        return ""
    return (
        f". The model {model!r} is in the registry {registry.store.uri}, which no function can "
        f"read: to serve it on this machine, run `shearling serve {ref}`, and pass its "
        "URL instead"
    )
