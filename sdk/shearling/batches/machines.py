"""Find the state machine of a function, in the records of a registry's deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.batches.state_machine import StateMachine
from shearling.errors import InvalidRefError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry

_EXPECTED = "expected <function>:<alias>, as in acme-fraud:prod, or the alias's ARN"

_ARN_PARTS = 8  # of an alias's ARN


def machines(registry: Registry, client_of: Callable[[str], Any]) -> list[StateMachine]:
    """Return the state machines of a registry's functions, each once."""
    arns = {each.batch: each.region for each in registry.release_log.deployments() if each.batch}
    return [StateMachine(arn, client_of(region)) for arn, region in arns.items()]


def machine_of(
    registry: Registry, target: str, client_of: Callable[[str], Any]
) -> tuple[Deployment, dict[str, Any], StateMachine]:
    """Return the function that a target names, its alias or version, and its state machine.

    Args:
        registry: the registry, where Terraform records the deployments.
        target: `<function>:<alias>`, or the alias's ARN; a version of the model in place of the
            alias, and the model's name in place of the function if one function serves it.
        client_of: returns the client of Step Functions in a region.

    Raises:
        InvalidRefError: the target is malformed.
        ModelNotFoundError: there is no such function, or it has no such alias or no state machine.
    """
    name, selector, region = _split(target)
    deployments = registry.release_log.deployments()
    found = [each for each in deployments if each.function == name and region in ("", each.region)]
    found = found or [each for each in deployments if each.model == name]
    if not found:
        functions = ", ".join(sorted({each.function for each in deployments})) or "none"
        raise ModelNotFoundError(
            f"target {target!r:.200}: no function {name!r:.80} is deployed with the registry "
            f"{registry.store.uri}. Its functions: {functions:.500}"
        )
    serving = [each for each in found if selector.isdigit() or selector in each.aliases]
    if not serving:
        aliases = ", ".join(sorted({alias for each in found for alias in each.aliases}))
        raise ModelNotFoundError(
            f"target {target!r:.200}: {found[0].function} has no alias {selector!r:.80}; its "
            f"aliases are {aliases:.500}"
        )
    if len(serving) > 1:
        functions = ", ".join(sorted(f"{each.function} in {each.region}" for each in serving))
        raise InvalidRefError(
            f"target {target!r:.200}: several functions serve it: {functions:.500}. Name one by "
            "the ARN of its alias"
        )
    (deployment,) = serving
    if not deployment.batch:
        raise ModelNotFoundError(
            f"{deployment.function} has no state machine for batch runs: set Terraform's `batch`, "
            "with the buckets of inputs and outputs, and apply"
        )
    machine = StateMachine(deployment.batch, client_of(deployment.region))
    is_version = selector.isdigit()
    return deployment, {"version": int(selector)} if is_version else {"alias": selector}, machine


def _split(target: str) -> tuple[str, str, str]:
    """Return function, alias or version, and region of a target; no region without an ARN."""
    parts = target.split(":") if isinstance(target, str) else []
    region = ""
    if len(parts) == _ARN_PARTS and parts[0] == "arn":
        region, parts = parts[3], parts[6:]
    if len(parts) != 2 or not all(parts):  # noqa: PLR2004 - function and alias
        raise InvalidRefError(f"target {target!r:.200}: {_EXPECTED}")
    return parts[0], parts[1], region
