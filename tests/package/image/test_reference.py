from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.errors import PackageError
from shearling.package.image import ImageReference

DIGEST = f"sha256:{'0f' * 32}"
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        (f"{ECR}/models", ECR, "models", "", ""),
        (f"{ECR}/acme/models:fraud-7", ECR, "acme/models", "fraud-7", ""),
        (f"{ECR}/models@{DIGEST}", ECR, "models", "", DIGEST),
        (f"localhost:5000/a_b/c.d:v1@{DIGEST}", "localhost:5000", "a_b/c.d", "v1", DIGEST),
        ("localhost/models", "localhost", "models", "", ""),
        ("python:3.13-slim", "docker.io", "library/python", "3.13-slim", ""),
        ("bitnami/python", "docker.io", "bitnami/python", "", ""),
    ],
)
def test_names_are_read_as_docker_reads_them(
    text: str, host: str, repository: str, tag: str, digest: str
) -> None:
    found = ImageReference.parse(text)
    assert found == ImageReference(host=host, repository=repository, tag=tag, digest=digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://example.com/models",
        "example.com/",
        "example.com/Models",
        "example.com/models:",
        "example.com/models:a b",
        "example.com/models@sha256:12",
        "example.com/models@md5:0f0f",
        "example.com/../models",
        "user:secret@example.com/models",
        "example.com:port/models",
        "example.com/models\n",
    ],
)
def test_what_is_no_name_of_an_image_is_refused(text: str) -> None:
    with pytest.raises(PackageError, match="is not the name of an image: expected host/repository"):
        ImageReference.parse(text)


@given(st.text(max_size=300))
def test_any_text_is_a_name_that_reads_the_same_again_or_is_refused(text: str) -> None:
    with suppress(PackageError):
        found = ImageReference.parse(text)
        assert ImageReference.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "api"),
    [
        (f"{ECR}/models", f"https://{ECR}/v2/models"),
        ("python", "https://registry-1.docker.io/v2/library/python"),
        ("localhost:5000/models", "http://localhost:5000/v2/models"),
        ("127.0.0.1:5000/models", "http://127.0.0.1:5000/v2/models"),
        ("127.0.0.1.example.com/models", "https://127.0.0.1.example.com/v2/models"),
    ],
)
def test_only_a_registry_on_this_machine_is_reached_without_tls(text: str, api: str) -> None:
    assert ImageReference.parse(text).api == api
