"""Images in Debian's docker-registry, through a proxy that wants tokens and cuts transfers."""

from __future__ import annotations

import base64
import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from shearling.bundle.canonical_json import canonical_json
from shearling.bundle.digests import digest_of
from shearling.errors import PackageError
from shearling.package.image import ImageReference
from shearling.package.image.credentials import Login
from shearling.package.image.documents import CONFIG, LAYER, Descriptor, Manifest
from shearling.package.image.repository import Repository
from shearling.package.image.transport import Transport
from tests.support.image_registry import RegistryProxy, image_registry, needs_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_registry

BIG = random.Random(1).randbytes(3_000_000)
LOGIN = Login("ann", "secret")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with image_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def proxy(registry: str) -> Iterator[RegistryProxy]:
    proxy = RegistryProxy(registry)
    with proxy.serving():
        yield proxy


def repository(proxy: RegistryProxy, name: str, login: Login | None = LOGIN) -> Repository:
    reference = ImageReference.parse(f"{proxy.host}/{name}")
    return Repository(reference, Transport(reference, lambda _: login, pause_seconds=0.01))


def blob(content: bytes, media_type: str = LAYER) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))


def file_of(directory: Path, content: bytes) -> Path:
    path = directory / hashlib.sha256(content).hexdigest()[:8]
    path.write_bytes(content)
    return path


def downloaded(source: Repository, content: bytes, path: Path) -> bytes:
    source.download(blob(content), path)
    return path.read_bytes()


def test_a_blob_is_uploaded_once_and_comes_back(proxy: RegistryProxy, tmp_path: Path) -> None:
    target = repository(proxy, "once")
    assert target.upload(blob(BIG), file_of(tmp_path, BIG)) is True
    assert target.upload(blob(BIG), file_of(tmp_path, BIG)) is False
    assert downloaded(target, BIG, tmp_path / "copy") == BIG
    assert [method for method, _ in proxy.requests].count("PATCH") == 1


def test_an_image_is_read_by_its_tag_and_its_digest(proxy: RegistryProxy, tmp_path: Path) -> None:
    target = repository(proxy, "tagged")
    config, layer = b'{"architecture":"amd64"}', b"layer"
    for content in (config, layer):
        target.upload(blob(content), file_of(tmp_path, content))
    manifest = Manifest(config=blob(config, CONFIG), layers=(blob(layer),))
    data = canonical_json(manifest.document())
    target.put_manifest(data, "v1")
    assert target.manifest("v1") == target.manifest(digest_of(data)) == data


def test_a_manifest_without_its_blobs_is_refused_in_the_registrys_words(
    proxy: RegistryProxy,
) -> None:
    manifest = Manifest(config=blob(b"nowhere", CONFIG), layers=())
    with pytest.raises(PackageError, match=r"answered PUT with 4\d\d \(.*BLOB_UNKNOWN"):
        repository(proxy, "dangling").put_manifest(canonical_json(manifest.document()), "v1")


@pytest.mark.parametrize("cuts", [1, 3])
def test_an_upload_that_breaks_off_continues_where_it_ended(
    proxy: RegistryProxy, tmp_path: Path, cuts: int
) -> None:
    content = BIG + bytes([cuts])
    proxy.keeps_uploads, proxy.cuts, proxy.cut_bytes = True, cuts, 700_000
    target = repository(proxy, f"resumed-{cuts}")
    assert target.upload(blob(content), file_of(tmp_path, content))
    assert downloaded(target, content, tmp_path / "copy") == content
    methods = [method for method, _ in proxy.requests]
    assert methods.count("PATCH") == cuts + 1
    assert methods.count("POST") == 1  # the same upload


def test_an_upload_that_the_registry_drops_when_it_breaks_off_begins_again(
    proxy: RegistryProxy, tmp_path: Path
) -> None:
    content = BIG + b"again"
    proxy.cuts, proxy.cut_bytes = 2, 700_000
    target = repository(proxy, "restarted")
    assert target.upload(blob(content), file_of(tmp_path, content))
    assert downloaded(target, content, tmp_path / "copy") == content
    assert [method for method, _ in proxy.requests].count("POST") == 3


def test_a_download_that_breaks_off_continues_where_it_ended(
    proxy: RegistryProxy, tmp_path: Path
) -> None:
    target = repository(proxy, "download")
    target.upload(blob(BIG), file_of(tmp_path, BIG))
    proxy.requests.clear()
    proxy.cuts, proxy.cut_bytes = 3, 900_000
    assert downloaded(target, BIG, tmp_path / "copy") == BIG
    assert [method for method, _ in proxy.requests] == ["GET"] * 4


def test_a_transfer_that_always_breaks_off_is_given_up(
    proxy: RegistryProxy, tmp_path: Path
) -> None:
    proxy.cuts, proxy.cut_bytes = 100, 10
    with pytest.raises(PackageError, match="cannot be reached"):
        repository(proxy, "broken").upload(blob(BIG), file_of(tmp_path, BIG))


def test_a_blob_of_another_repository_is_mounted_without_sending_it(
    proxy: RegistryProxy, tmp_path: Path
) -> None:
    path = file_of(tmp_path, BIG)
    repository(proxy, "origin").upload(blob(BIG), path)
    proxy.requests.clear()
    target = repository(proxy, "mounted")
    assert target.upload(blob(BIG), path, mount_from="origin") is False
    assert "PATCH" not in [method for method, _ in proxy.requests]
    assert downloaded(target, BIG, tmp_path / "copy") == BIG


def test_a_blob_that_the_other_repository_lacks_is_sent(
    proxy: RegistryProxy, tmp_path: Path
) -> None:
    content = BIG + b"!"
    target = repository(proxy, "unmounted")
    assert target.upload(blob(content), file_of(tmp_path, content), mount_from="origin") is True
    assert downloaded(target, content, tmp_path / "copy") == content


def test_a_token_is_asked_for_with_the_login_and_the_scopes_that_are_needed(
    proxy: RegistryProxy, tmp_path: Path
) -> None:
    proxy.wants_tokens = True
    proxy.login = "Basic " + base64.b64encode(b"ann:secret").decode()
    content = BIG + b"token"
    target = repository(proxy, "private")
    assert target.upload(blob(content), file_of(tmp_path, content), mount_from="origin")
    assert downloaded(target, content, tmp_path / "copy") == content
    scopes = {scope for scopes, _ in proxy.tokens for scope in scopes}
    assert scopes == {
        "repository:private:pull",
        "repository:private:pull,push",
        "repository:origin:pull",
    }
    # Not one for each request.
    assert len(proxy.tokens) <= 4


def test_a_public_image_needs_a_token_but_no_login(proxy: RegistryProxy, tmp_path: Path) -> None:
    repository(proxy, "public").upload(blob(BIG), file_of(tmp_path, BIG))
    proxy.wants_tokens = True
    target = repository(proxy, "public", login=None)
    assert downloaded(target, BIG, tmp_path / "copy") == BIG
    assert {login for _, login in proxy.tokens} == {""}


def test_a_login_that_is_refused_is_said_in_the_registrys_words(proxy: RegistryProxy) -> None:
    proxy.wants_tokens = True
    proxy.login = "Basic nobody"
    with pytest.raises(PackageError, match=r"answered GET with 401 \(UNAUTHORIZED who\?\)"):
        repository(proxy, "private").manifest("latest")


def test_an_image_that_is_not_there_is_named(proxy: RegistryProxy) -> None:
    with pytest.raises(PackageError, match=r"/none: .*with 404 \(MANIFEST_UNKNOWN"):
        repository(proxy, "none").manifest("v1")


def test_a_registry_that_is_overloaded_for_a_moment_is_asked_again(proxy: RegistryProxy) -> None:
    proxy.refusals = [429, 503]
    with pytest.raises(PackageError, match="404"):
        repository(proxy, "none").manifest("v1")
    assert proxy.refusals == []


def test_a_login_is_sent_to_no_host_without_tls() -> None:
    reference = ImageReference.parse("127.0.0.1:1/x")
    transport = Transport(reference, lambda _: LOGIN)
    with pytest.raises(PackageError, match=r"wants the login to be sent to 'http://evil.example"):
        transport._authenticate('Bearer realm="http://evil.example/token"', "")
