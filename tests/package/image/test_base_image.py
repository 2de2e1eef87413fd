from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shearling.errors import IntegrityError, PackageError
from shearling.package.image.base_image import BaseImage, fetch_base
from shearling.package.image.repository import Repository
from tests.support.base_images import INDEX, Layout, tar_of

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = "usr/local/bin/python3.13"


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Layout(tmp_path / "base")


def fetched(layout: Layout, **options: Any) -> BaseImage:
    name = str(layout.path)
    return fetch_base(name, options.pop("architecture", "x86_64"), open_repository=Repository)


def with_files(layout: Layout, *layers: list[str], **options: Any) -> BaseImage:
    """Return a base whose layers have files of these names."""
    layout.index([layout.image(map(tar_of, layers), **options)])
    return fetched(layout)


def test_the_newest_python_on_the_path_is_found(layout: Layout) -> None:
    base = with_files(layout, ["usr/bin/python3.9", "usr/bin/python3.11", PYTHON, "opt/python3.14"])
    assert base.python(None) == ("3.13", f"/{PYTHON}")
    assert base.python("3.11") == ("3.11", "/usr/bin/python3.11")


def test_the_first_directory_of_the_path_is_preferred(layout: Layout) -> None:
    config = {"Env": ["PATH=/var/lang/bin:/usr/bin"]}
    base = with_files(layout, ["usr/bin/python3.13", "var/lang/bin/python3.13"], config=config)
    assert base.python("3.13")[1] == "/var/lang/bin/python3.13"


def test_an_image_without_a_path_has_that_of_debian(layout: Layout) -> None:
    assert with_files(layout, [PYTHON], config={}).python(None)[0] == "3.13"


@pytest.mark.parametrize("config", [{"Env": None}, {"Labels": None}, None])
def test_null_in_a_configuration_means_nothing(
    layout: Layout, config: dict[str, Any] | None
) -> None:
    assert with_files(layout, [PYTHON], config=config).python(None)[0] == "3.13"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Env": "PATH=/bin"}, "is not a list in 'config.Env'"),
        ({"Env": [1]}, r"1 is not a string in 'config.Env\[0\]'"),
        ({"Labels": ["a"]}, "is not an object in 'config.Labels'"),
    ],
)
def test_a_configuration_of_another_form_is_refused_with_its_field(
    layout: Layout, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(PackageError, match=message):
        with_files(layout, [PYTHON], config=config)


@pytest.mark.parametrize(
    "removal",
    ["usr/local/bin/.wh.python3.13", "usr/local/.wh.bin", "usr/local/bin/.wh..wh..opq"],
    ids=["file", "directory", "opaque directory"],
)
def test_what_an_upper_layer_removes_is_not_found(layout: Layout, removal: str) -> None:
    base = with_files(layout, ["usr/bin/python3.11", PYTHON], [removal])
    assert base.python(None)[0] == "3.11"


@pytest.mark.parametrize("version", [None, "3.13"])
def test_a_base_without_the_python_is_refused_with_those_it_has(
    layout: Layout, version: str | None
) -> None:
    none = [] if version is None else ["usr/bin/python3.11", "usr/bin/python3.9"]
    base = with_files(layout, ["etc/passwd", *none])
    with pytest.raises(
        PackageError, match=r"has no Python 3.* on its PATH \(it has (none|3.11, 3.9)\)"
    ):
        base.python(version)


@pytest.mark.parametrize(
    ("library", "message"),
    [
        ("lib/ld-musl-x86_64.so.1", "has the C library musl"),
        ("lib/x86_64-linux-gnu/libc-2.31.so", r"has glibc 2\.31, and wheels may need 2\.34"),
    ],
)
def test_a_base_whose_c_library_wheels_do_not_run_on_is_refused(
    layout: Layout, library: str, message: str
) -> None:
    with pytest.raises(PackageError, match=message):
        with_files(layout, [PYTHON, library]).python(None)


def test_layers_that_are_not_compressed_or_of_docker_are_taken(layout: Layout) -> None:
    plain = "application/vnd.oci.image.layer.v1.tar"
    assert with_files(layout, [PYTHON], layer_type=plain).python(None)[0] == "3.13"
    docker = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    base = with_files(layout, [PYTHON], layer_type=docker)
    assert base.manifest.layers[0].media_type == "application/vnd.oci.image.layer.v1.tar+gzip"


def test_a_layer_of_another_kind_is_refused_by_its_type(layout: Layout) -> None:
    zstd = "application/vnd.oci.image.layer.v1.tar+zstd"
    with pytest.raises(PackageError, match=r"layer of the type application/vnd\.oci.*zstd"):
        with_files(layout, [PYTHON], layer_type=zstd)


def test_the_image_of_the_architecture_is_chosen(layout: Layout) -> None:
    images = [
        layout.image([tar_of([f"usr/bin/python3.{minor}"])], architecture=architecture)
        for architecture, minor in (("amd64", 12), ("arm64", 13))
    ]
    # What build tools add about an image has no platform that runs anywhere.
    attestation = images[0] | {"platform": {"os": "unknown", "architecture": "unknown"}}
    layout.index([layout.add(INDEX, layout.index_of([*images, attestation]))])
    assert fetched(layout, architecture="x86_64").python(None)[0] == "3.12"
    assert fetched(layout, architecture="arm64").python(None)[0] == "3.13"


def test_an_index_without_the_architecture_is_refused_with_those_it_has(layout: Layout) -> None:
    layout.index([layout.image([tar_of([PYTHON])], architecture="s390x")])
    with pytest.raises(PackageError, match=r"no image for linux/amd64; it has linux/s390x"):
        fetched(layout)


def test_an_image_of_another_architecture_is_refused_even_if_nothing_names_it(
    layout: Layout,
) -> None:
    image = layout.image([tar_of([PYTHON])], architecture="arm64")
    del image["platform"]
    layout.index([image])
    with pytest.raises(PackageError, match="is for arm64, not for amd64"):
        fetched(layout)


def test_one_of_several_images_is_chosen_by_its_digest(layout: Layout) -> None:
    images = [layout.image([tar_of([f"usr/bin/python3.{minor}"])]) for minor in (12, 13)]
    layout.index(images)
    with pytest.raises(
        PackageError, match=r"has 2 images for linux/amd64\. Choose one by its digest"
    ):
        fetched(layout)
    for image, minor in zip(images, (12, 13), strict=True):
        name = f"{layout.path}@{image['digest']}"
        base = fetch_base(name, "x86_64", open_repository=Repository)
        assert base.python(None)[0] == f"3.{minor}"
        assert base.digest == image["digest"]


@pytest.mark.parametrize("part", ["manifest", "layer"])
def test_bytes_that_are_not_what_a_digest_names_are_refused(layout: Layout, part: str) -> None:
    image = layout.image([tar_of([PYTHON])])
    layout.index([image])
    blobs = sorted((layout.path / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    hex_digest = image["digest"].removeprefix("sha256:")
    path = next(p for p in blobs if (p.name == hex_digest) == (part == "manifest"))
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(IntegrityError, match="is corrupt or was changed"):
        fetched(layout)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"", "is not JSON"),
        (b"[]", "is not an object"),
        (b'{"manifests": 3}', "is not a list in 'manifests'"),
        (b'{"manifests": []}', "has no image for linux/amd64; it has none"),
        (b'{"manifests": [{"mediaType": "x", "digest": "y", "size": 1}]}', "is not a digest"),
        (b'{"schemaVersion": 2}', "a required field is missing in 'layers'"),
    ],
)
def test_a_document_that_is_none_is_refused_with_its_field(
    layout: Layout, index: bytes, message: str
) -> None:
    (layout.path / "index.json").write_bytes(index)
    with pytest.raises(PackageError, match=message):
        fetched(layout)


def test_a_directory_without_an_image_is_refused_with_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"has no image .* as `skopeo copy docker://"):
        fetch_base(str(tmp_path), "x86_64", open_repository=Repository)


def test_a_configuration_with_another_number_of_layers_is_refused(layout: Layout) -> None:
    image = layout.image([tar_of([PYTHON]), tar_of([])])
    import json

    path = layout.path / "blobs/sha256" / image["digest"].removeprefix("sha256:")
    manifest = json.loads(path.read_bytes())
    manifest["layers"] = manifest["layers"][:1]
    layout.index([layout.add(image["mediaType"], manifest)])
    with pytest.raises(PackageError, match="1 layers, but 2 in its configuration"):
        fetched(layout)


def test_a_fetched_layer_is_taken_from_the_cache_unless_it_was_changed(layout: Layout) -> None:
    base = with_files(layout, [PYTHON])
    [cached] = base.layers.values()
    cached.write_bytes(b"something else")
    assert fetched(layout).python(None)[0] == "3.13"
