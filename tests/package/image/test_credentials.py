from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from shearling.errors import PackageError
from shearling.package.image.credentials import Login, find_login

if TYPE_CHECKING:
    from pathlib import Path

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


class Ecr:
    """ECR's answer to whoever may ask for a token."""

    def __init__(self, token: str = "", error: Exception | None = None) -> None:
        self.asked: list[Any] = []
        self._token, self._error = token, error

    def __call__(self, region: str) -> Ecr:
        self.asked.append(region)
        return self

    def get_authorization_token(self, *, registryIds: list[str]) -> Any:  # noqa: N803
        self.asked.append(registryIds)
        if self._error:
            raise self._error
        return {"authorizationData": [{"authorizationToken": self._token}]}


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "config.json"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (ECR, "eu-central-1"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr-ecr.eu-central-1.on.aws", "eu-central-1"),
    ],
)
@pytest.mark.usefixtures("docker")
def test_ecrs_token_comes_from_the_account_and_region_in_its_name(host: str, region: str) -> None:
    ecr = Ecr(encoded("AWS:the-token"))
    assert find_login(host, ecr) == Login("AWS", "the-token")
    assert ecr.asked == [region, ["123456789012"]]


@pytest.mark.parametrize(
    "host",
    [
        f"{ECR}.example.com",
        f"evil-{ECR}",
        "12.dkr.ecr.eu-central-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-central-1.on.com",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.aws",
    ],
)
@pytest.mark.usefixtures("docker")
def test_the_token_of_ecr_is_for_no_other_host(host: str) -> None:
    ecr = Ecr(encoded("AWS:the-token"))
    assert find_login(host, ecr) is None
    assert ecr.asked == []


def test_what_ecr_refuses_is_said_with_the_permission() -> None:
    denied = ClientError(
        {"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, "GetAuthorizationToken"
    )
    with pytest.raises(
        PackageError, match=r"account 123456789012: .*not you.*ecr:GetAuthorizationT"
    ):
        find_login(ECR, Ecr(error=denied))


def test_a_login_of_docker_is_used(docker: Path) -> None:
    auths = {
        "example.com:5000": {"auth": encoded("ann:p:w")},
        "https://index.docker.io/v1/": {"auth": encoded("bob:x")},
        "empty.example.com": {},
    }
    docker.write_text(json.dumps({"auths": auths}))
    assert find_login("example.com:5000") == Login("ann", "p:w")
    assert find_login("docker.io") == Login("bob", "x")
    assert find_login("empty.example.com") is None
    assert find_login("example.com") is None


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_credential_helper_of_docker_is_asked(docker: Path, key: str) -> None:
    helper = docker.with_name("docker-credential-test")
    helper.write_text(
        "#!/bin/sh\nread host\n"
        '[ "$host" = example.com ] || { echo "credentials not found"; exit 1; }\n'
        'echo \'{"Username": "ann", "Secret": "s"}\'\n'
    )
    helper.chmod(0o755)
    value: Any = "test" if key == "credsStore" else {"example.com": "test", "other.com": "test"}
    docker.write_text(json.dumps({key: value}))
    assert find_login("example.com") == Login("ann", "s")
    assert find_login("other.com") is None


@pytest.mark.parametrize("script", ["exit 3", "echo nonsense", "echo '[]'", None])
def test_a_helper_that_fails_is_named(docker: Path, script: str | None) -> None:
    if script:
        helper = docker.with_name("docker-credential-test")
        helper.write_text(f"#!/bin/sh\n{script}\n")
        helper.chmod(0o755)
    docker.write_text('{"credsStore": "test"}')
    with pytest.raises(PackageError, match="docker-credential-test"):
        find_login("example.com")


@pytest.mark.parametrize("text", ["{", '{"auths": {"example.com": {"auth": "%%"}}}'])
def test_a_configuration_that_cannot_be_read_is_named(docker: Path, text: str) -> None:
    docker.write_text(text)
    with pytest.raises(PackageError, match=r"config\.json"):
        find_login("example.com")


@pytest.mark.parametrize("text", ["[]", '{"auths": []}', '{"auths": {"example.com": 3}}'])
def test_a_configuration_of_another_shape_has_no_login(docker: Path, text: str) -> None:
    docker.write_text(text)
    assert find_login("example.com") is None


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Login("ann", "secret"))
