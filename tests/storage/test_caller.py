"""The name of who writes to a registry."""

from __future__ import annotations

import getpass
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from shearling.registry.registry import Registry
from shearling.storage import caller
from tests.embedded_aws import ACCOUNT, EmbeddedAws
from tests.support.bundles import scaling_bundle
from tests.support.users import client_of, environment_of, user_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASSUME = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def enforcing_aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(auth=True) as aws:
        yield aws


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "_known", {})
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def test_a_directory_is_written_by_this_machines_user(
    tmp_path: Path, aws_environment: dict[str, str]
) -> None:
    assert aws_environment
    assert Registry(tmp_path).caller() == getpass.getuser()


def test_entries_and_rollbacks_record_who_wrote_them(s3_uri: str, tmp_path: Path) -> None:
    registry = Registry(s3_uri)
    for factor in (2.0, 3.0):
        scaling_bundle(tmp_path, factor=factor).publish(registry)
    root = f"arn:aws:iam::{ACCOUNT}:root"
    first = registry.set_alias("fraud", "prod", 1)
    assert first.by == root
    replaced = registry.replace_entry(first, 2, "rollback")
    assert replaced
    assert replaced.by == root
    assert registry.set_alias("fraud", "prod", 1, by="somebody else").by == "somebody else"


def test_each_credential_has_its_own_name(
    enforcing_aws: EmbeddedAws, aws_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aws_environment
    user = user_with(enforcing_aws, json.dumps(ASSUME))
    role = enforcing_aws.client("iam").create_role(
        RoleName="releases", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]["Arn"]
    assumed = client_of(enforcing_aws, user, "sts").assume_role(
        RoleArn=role, RoleSessionName="alice"
    )["Credentials"]
    session = {
        "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
        "AWS_SESSION_TOKEN": assumed["SessionToken"],
    }
    monkeypatch.setenv("AWS_ENDPOINT_URL", enforcing_aws.url)
    names = []
    for variables in (environment_of(user), session):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        names.append(Registry("s3://bucket").caller())
    assert names[0].startswith(f"arn:aws:iam::{ACCOUNT}:user/user-")
    assert names[1] == f"arn:aws:sts::{ACCOUNT}:assumed-role/releases/alice"


def test_a_profile_is_asked_for_its_caller(
    embedded_aws: EmbeddedAws,
    aws_environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert aws_environment
    config = tmp_path / "config"
    config.write_text(
        "[profile work]\naws_access_key_id = test\naws_secret_access_key = test\n"
        f"region = eu-central-1\nendpoint_url = {embedded_aws.url}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert Registry("s3://bucket").caller() == f"arn:aws:iam::{ACCOUNT}:root"


def test_an_sts_that_does_not_answer_is_waited_for_once_and_not_long(
    aws_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aws_environment
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{silent.getsockname()[1]}")
        registry = Registry("s3://bucket")
        began = time.monotonic()
        assert registry.caller() == getpass.getuser()
        assert time.monotonic() - began < 30
        silent.settimeout(1)
        silent.accept()[0].close()
        assert registry.caller() == getpass.getuser()
        with pytest.raises(TimeoutError):
            silent.accept()


def test_aws_is_not_asked_about_credentials_of_another_vendor(
    aws_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", aws_environment["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host))
    assert Registry("s3://bucket").caller() == getpass.getuser()
    assert asked == []


def test_a_long_name_is_cut(
    enforcing_aws: EmbeddedAws, aws_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aws_environment
    user = user_with(enforcing_aws, path=f"/{'x' * caller.NAME_LENGTH}/")
    variables = {"AWS_ENDPOINT_URL": enforcing_aws.url, **environment_of(user)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    name = Registry("s3://bucket").caller()
    assert name.startswith(f"arn:aws:iam::{ACCOUNT}:user/xxx")
    assert len(name) == caller.NAME_LENGTH


@pytest.mark.parametrize("fault", [OSError, KeyError, "jos\udce9"])
def test_a_user_without_a_usable_name_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    def getuser() -> str:
        if isinstance(fault, str):
            return fault
        raise fault

    monkeypatch.setattr(getpass, "getuser", getuser)
    registry = Registry(tmp_path / "registry")
    scaling_bundle(tmp_path).publish(registry)
    by = registry.set_alias("fraud", "prod", 1).by
    assert by == ("jos?" if isinstance(fault, str) else "unknown")
