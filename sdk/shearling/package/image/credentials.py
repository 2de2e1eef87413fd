"""Find the user name and password for a registry of images: those of ECR, or of `docker login`."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shearling.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Callable

#: ECR's host in a partition of AWS: account and region.
_ECR = re.compile(
    r"(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
)

_HELPER_SECONDS = 30

#: Docker Hub's key in Docker's configuration.
_DOCKER_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password or token."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of the header Authorization."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class TokenSource(Protocol):
    """The part of boto3's client of ECR that is used."""

    def get_authorization_token(self, *, registryIds: list[str]) -> Any:  # noqa: N803 - boto3's name
        """Return the token of a registry."""
        ...


def ecr_client(region: str) -> TokenSource:
    """Return a client of ECR in a region."""
    import boto3

    client: TokenSource = boto3.client("ecr", region_name=region)
    return client


def find_login(
    host: str, new_ecr_client: Callable[[str], TokenSource] = ecr_client
) -> Login | None:
    """Return the login for a registry; None if there is none, for images that are public.

    Args:
        host: host of the registry.
        new_ecr_client: returns a client of ECR for a region.

    Raises:
        PackageError: ECR gives no token, or Docker's configuration or helper fails.
    """
    if match := _ECR.fullmatch(host):
        return _ecr_login(match[1], new_ecr_client(match[2]))
    return _docker_login(host)


def _ecr_login(account: str, client: TokenSource) -> Login:
    """Return the login that ECR gives to whom AWS's credentials name; it holds for 12 hours."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.get_authorization_token(registryIds=[account])
    except (BotoCoreError, ClientError) as error:
        raise PackageError(
            f"ECR gives no token for account {account}: {error}. The token needs the permission "
            "ecr:GetAuthorizationToken"
        ) from error
    return _decoded(answer["authorizationData"][0]["authorizationToken"], "ECR's token")


def _docker_login(host: str) -> Login | None:
    directory = os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()
    path = Path(directory, "config.json")
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise PackageError(
            f"{path}, which `docker login` writes, cannot be read: {error}"
        ) from error
    configuration = document if isinstance(document, dict) else {}
    key = _DOCKER_HUB if host == "docker.io" else host
    helper = _object(configuration, "credHelpers").get(key) or configuration.get("credsStore")
    entry = _object(_object(configuration, "auths"), key)
    if helper:
        return _helper_login(str(helper), key)
    return _decoded(entry["auth"], str(path)) if entry.get("auth") else None


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _helper_login(helper: str, key: str) -> Login | None:
    """Ask a credential helper of Docker, a program that reads a host and prints a login."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(  # noqa: S603 - the program that the user configured for Docker
            [program, "get"],
            input=key,
            capture_output=True,
            text=True,
            check=False,
            timeout=_HELPER_SECONDS,
        )
        if done.returncode != 0:
            if "not found" in done.stdout + done.stderr:  # it works, and has no login for the host
                return None
            raise PackageError(f"{program} failed: {(done.stderr or done.stdout).strip():.200}")
        answer = json.loads(done.stdout)
        return Login(answer["Username"], answer["Secret"])
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        raise PackageError(
            f"{program}, which Docker's configuration names: {error!r:.200}"
        ) from error


def _decoded(text: str, what: str) -> Login:
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (ValueError, TypeError):
        colon = ""
    if not colon:
        raise PackageError(f"{what} has no user name and password in base64. Log in again")
    return Login(user, password)
