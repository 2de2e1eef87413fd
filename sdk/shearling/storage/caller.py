"""Find out who writes to a registry: the caller that AWS knows, else the user of this machine."""

from __future__ import annotations

import getpass
import os
from contextlib import suppress
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from shearling.storage.s3 import DEFAULT_REGION, access_keys, s3_endpoint

if TYPE_CHECKING:
    import boto3

    from shearling.storage.store import Store

#: Longer names are cut. The ARN of a role with its session is shorter.
NAME_LENGTH = 256

#: Timeout of connecting and of reading. A VPC without an endpoint for STS must not delay a push.
_SECONDS = 2

#: Access key -> ARN; None if STS did not answer, so that the process waits for it only once.
_known: dict[str, str | None] = {}


def caller(store: Store) -> str:
    """Return the name for the records that this process writes to a store; never fail.

    For a bucket it is the ARN of the user, or of the role and session, that STS returns for the
    credentials. For another store, and where STS is out of reach, it is this machine's user.
    """
    return ((_arn() if store.objects else None) or _local_user())[:NAME_LENGTH]


def short_name(name: str) -> str:
    """Return an ARN without partition, service and account: `user/alice`; other names unchanged."""
    return name.split(":", 5)[-1] if name.startswith("arn:") else name


def _arn() -> str | None:
    # A push must not fail because nobody knows who pushes.
    with suppress(Exception):
        session = _session()
        if credentials := session.get_credentials():
            key = str(credentials.get_frozen_credentials().access_key)
            if key not in _known:
                _known[key] = _ask(session)
            return _known[key]
    return None


def _session() -> boto3.Session:
    """Return a session with the credentials that the store has."""
    import boto3

    if keys := access_keys():
        # The default session keeps those that it found first.
        return boto3.Session(
            keys["access_key_id"], keys["secret_access_key"], keys.get("session_token")
        )
    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    return cast("boto3.Session", boto3.DEFAULT_SESSION)


def _ask(session: boto3.Session) -> str | None:
    from botocore.config import Config

    config = Config(
        connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 1}
    )
    region = os.environ.get("AWS_REGION") or session.region_name or DEFAULT_REGION
    with suppress(Exception):
        client = session.client("sts", region_name=region, config=config)
        storage = s3_endpoint()
        # AWS does not know the credentials of another vendor's storage.
        if not storage or _is_aws(storage) or not _is_aws(client.meta.endpoint_url):
            return client.get_caller_identity()["Arn"]
    return None


def _is_aws(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _local_user() -> str:
    try:
        # A name that is not UTF-8 cannot be written to a record.
        return getpass.getuser().encode(errors="replace").decode()
    except (OSError, KeyError):  # the user of a container may have no name
        return "unknown"
