"""What an event asks the releaser for: which aliases to release, and why."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from shearling.errors import ReleaseError
from shearling.refs import is_alias, is_model
from shearling.release.endpoints.specification import endpoint_prefix
from shearling.release.staging import Staging
from shearling.release.trigger import Trigger
from shearling.storage.uris import S3Place, parse_uri

if TYPE_CHECKING:
    from shearling.registry.records import Deployment

#: An alias entry's key below the registry's prefix.
_ENTRY_KEY = re.compile(r"models/(?P<model>[^/]+)/aliases/(?P<alias>[^/]+)/[0-9]{10}\.json")


@dataclass(frozen=True, slots=True)
class Request:
    """The aliases to release; an empty field matches all.

    Attributes:
        function: name of the function.
        model: name of the model.
        alias: name of the alias.
        is_scheduled: whether the schedule sent the event.
        key: key of the object that an S3 event is about; None for another event.
        staging: the event after a stager's attempt; None for another event.
        endpoint: name of the endpoint that an event of SageMaker is about.
    """

    function: str = ""
    model: str = ""
    alias: str = ""
    is_scheduled: bool = False
    key: str | None = None
    staging: Staging | None = None
    endpoint: str = ""

    @classmethod
    def read(cls, event: Mapping[str, Any], prefix: str = "") -> Request:
        """Read an event of S3, SageMaker, the schedule, the stager, Terraform or a user.

        Args:
            event: the event.
            prefix: prefix of the registry's keys in the bucket, with the slash at its end.

        Raises:
            ReleaseError: the event is none of these.
        """
        if event.get("sweep") is True:
            return cls(is_scheduled=True)
        if staging := Staging.read(event):
            return cls(function=staging.function, staging=staging)
        if endpoint := _endpoint_name(event):
            return cls(endpoint=endpoint)
        if (key := _object_key(event)) is not None:
            model, alias = _named_by(key, prefix)
            return cls(key=key, model=model, alias=alias)
        function, model, alias = names = [
            event.get(name) or "" for name in ("function", "model", "alias")
        ]
        if all(isinstance(name, str) for name in names) and (function or model):
            return cls(function=function, model=model, alias=alias)
        raise ReleaseError(
            "not a request to release: expected an event of S3 or SageMaker by EventBridge, "
            "{'sweep': true}, or "
            "{'function' or 'model': ..., 'alias': ...}"
        )

    def trigger_of(self, alias: str) -> Trigger:
        """Return the trigger of an alias's release."""
        if self.staging is not None:
            # Other aliases of the function may wait for the same bundle.
            return self.staging.trigger if self.staging.alias == alias else Trigger.SCHEDULE
        if self.is_scheduled:
            return Trigger.SCHEDULE
        if self.key is not None or self.endpoint:
            return Trigger.ENTRY
        return Trigger.APPLY if self.is_apply else Trigger.REQUEST

    @property
    def is_apply(self) -> bool:
        """Whether Terraform sent the event after a change: it names a function and nothing else."""
        return bool(self.function) and not self.model and not self.alias and self.is_awaited

    @property
    def is_awaited(self) -> bool:
        """Whether a caller waits for the answer. Lambda retries the other events that fail."""
        is_event = self.key is not None or self.staging is not None or bool(self.endpoint)
        return not self.is_scheduled and not is_event

    @property
    def is_ignored(self) -> bool:
        """Whether the event is about an object that is not an alias entry of this registry."""
        return self.key is not None and not self.model

    def aliases(self, deployments: list[Deployment]) -> list[tuple[Deployment, str]]:
        """Return the deployments and aliases to release.

        Args:
            deployments: deployments of this releaser.

        Raises:
            ReleaseError: a caller requested a function, model or alias that is not deployed.
        """
        matches = [
            (deployment, alias)
            for deployment in deployments
            for alias in deployment.aliases
            if self.function in ("", deployment.function)
            and self.model in ("", deployment.model)
            and self.alias in ("", alias)
            and (not self.endpoint or _is_endpoint_of(self.endpoint, deployment))
        ]
        if not matches and self.is_awaited:
            raise ReleaseError(
                f"no deployed function and alias match {self.function or self.model:.100}:"
                f"{self.alias or '*':.100}. To add them, change Terraform's `models` and run "
                "terraform apply"
            )
        if self.is_scheduled:
            # So that an alias that uses up the time does not always delay the same others.
            random.shuffle(matches)
        return matches


def _endpoint_name(event: Mapping[str, Any]) -> str:
    """Return the name of the endpoint in an event of SageMaker; empty for another event."""
    detail = event.get("detail")
    if event.get("source") != "aws.sagemaker" or not isinstance(detail, Mapping):
        return ""
    name = detail.get("EndpointName")
    return name if isinstance(name, str) else ""


def _is_endpoint_of(name: str, deployment: Deployment) -> bool:
    settings = deployment.sagemaker
    return settings is not None and endpoint_prefix(name) == settings.endpoint_prefix


def _object_key(event: Mapping[str, Any]) -> str | None:
    """Return the key of the object in an S3 event; None for another event."""
    found: Any = event
    for name in ("detail", "object", "key"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else None


def _named_by(key: str, prefix: str) -> tuple[str, str]:
    """Return the model and alias in the key of an alias entry; empty for another key."""
    # Some senders encode the key.
    for text in (key, unquote_plus(key)):
        found = _ENTRY_KEY.fullmatch(text.removeprefix(prefix)) if text.startswith(prefix) else None
        if found and is_model(found["model"]) and is_alias(found["alias"]):
            return found["model"], found["alias"]
    return "", ""


def prefix_of(uri: str) -> str:
    """Return the prefix of a registry's keys in its bucket, with the slash at its end."""
    place = parse_uri(uri)
    return f"{place.prefix}/" if isinstance(place, S3Place) and place.prefix else ""
