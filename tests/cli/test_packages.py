"""package."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2
import pytest

import shearling.models.push
import shearling.package
import shearling.package.image
from shearling.storage.store import open_store
from tests.support.bundles import scaling_bundle
from tests.support.cli import PYTHON, error, push_pickle, run

if TYPE_CHECKING:
    from shearling.registry.registry import Registry


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Records the calls of the builder, which other tests run for real."""
    asked: list[dict[str, Any]] = []

    def build(kind: str, **options: Any) -> str:
        options.pop("progress")("Zipping")
        asked.append({"kind": kind, **options})
        return "the report"

    monkeypatch.setattr(shearling.package, "build_package", build)
    return asked


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Records the calls of the builder of images, which other tests run for real."""
    asked: list[dict[str, Any]] = []

    class Report:
        pushed = "example.com/models@sha256:0f"

        def __str__(self) -> str:
            return "the report"

    def build(**options: Any) -> Report:
        options.pop("progress")("Writing the layer")
        asked.append(options)
        return Report()

    monkeypatch.setattr(shearling.package.image, "build_image", build)
    return asked


@pytest.fixture
def pickled_and_built(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle in the registry, and a builder that writes a zip at once."""

    def build(*_: object, output: Path, **__: object) -> str:
        output.write_bytes(b"the zip")
        return "the report"

    monkeypatch.setattr(shearling.package, "build_package", build)
    push_pickle(registry)


def test_a_package_is_built_with_the_given_options(
    builds: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--python", "3.12", "--architecture", "arm64", "--output", "x.zip"]
    assert run("package", "control", *options) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("the report\n", "Zipping\n")
    assert run("package", "runtime") == 0
    assert builds == [
        {
            "kind": "control",
            "python": "3.12",
            "architecture": "arm64",
            "output": Path("x.zip"),
            "requirements": (),
        },
        {
            "kind": "runtime",
            "python": "3.13",
            "architecture": "x86_64",
            "output": Path("build/runtime.zip"),
            "requirements": (),
        },
    ]


@pytest.mark.parametrize("options", [["parquet,text"], ["parquet", "--with", "text"]])
def test_a_package_with_features_has_their_pinned_packages(
    builds: list[dict[str, Any]], options: list[str]
) -> None:
    assert run("package", "runtime", "--with", *options) == 0
    names = [line.partition("==")[0] for line in builds[0]["requirements"]]
    assert names == ["arro3-core", "arro3-io", "tokenizers"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["runtime", "--with", "pandas"],
            "--with pandas: not a feature of a runtime package; choose from image, parquet, text",
        ),
        (
            ["control", "--with", "parquet"],
            "--with is allowed only for a runtime package or an image",
        ),
    ],
)
def test_a_package_has_no_other_features(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("package", *options)
    assert problem in capsys.readouterr().err


def test_the_package_of_a_pickle_has_its_requirements_and_its_python(
    registry: Registry, builds: list[dict[str, Any]]
) -> None:
    push_pickle(registry)
    assert run("package", "runtime", "--for", "guess:1") == 0
    environment = registry.manifest("guess").environment
    assert environment
    assert builds[0]["python"] == environment.python == PYTHON
    assert builds[0]["requirements"] == environment.requirements
    assert builds[0]["output"] == Path("build/runtime-guess-1.zip")


def test_the_package_of_a_pickle_refuses_another_python(
    registry: Registry, builds: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    push_pickle(registry)
    with pytest.raises(SystemExit, match="2"):
        run("package", "runtime", "--for", "guess", "--python", "3.10")
    assert f"guess was pushed with Python {PYTHON}" in error(capsys)
    assert builds == []


@pytest.mark.usefixtures("pickled_and_built")
@pytest.mark.parametrize(
    ("kind", "setting"),
    [("control", "control"), ("runtime", "runtime"), ("runtime --for guess:1", "package")],
)
def test_an_uploaded_package_prints_its_line_of_terraforms_packages(
    s3_uri: str,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    setting: str,
) -> None:
    arguments = [*kind.split(), "--output", "x.zip", "--upload", f"{s3_uri}//builds/"]
    assert run("package", *arguments) == 0

    line = capsys.readouterr().out.splitlines()[-1]
    [(name, location)] = hcl2.loads(f"{line}\n").items()
    assert name == setting
    found = {key: value.strip('"') for key, value in location.items()}
    digest = hashlib.sha256(b"the zip")
    assert f"s3://{found['bucket']}/{found['key']}" == (
        f"{s3_uri}/builds/x-{digest.hexdigest()}.zip"
    )
    assert found["source_code_hash"] == base64.b64encode(digest.digest()).decode()
    assert open_store(f"s3://{found['bucket']}").read(found["key"]) == b"the zip"


@pytest.mark.parametrize(
    "uri", ["", "builds", "s3://", "s3://Builds/x", "s3://builds/${x}", 's3://builds/"', "/tmp/x"]
)
def test_a_folder_that_is_not_in_s3_is_refused_before_the_build(
    builds: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    assert run("package", "control", "--upload", uri) == 1
    assert "expected s3://bucket or s3://bucket/folder" in error(capsys)
    assert builds == []


def test_a_package_that_is_refused_shows_its_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise shearling.PackageError("too large\n  onnxruntime  100 MB")

    monkeypatch.setattr(shearling.package, "build_package", refuse)
    assert run("package", "runtime") == 1
    assert error(capsys) == "shearling: too large\n  onnxruntime  100 MB\n"


def test_an_image_is_written_to_a_tar_unless_it_is_pushed(
    images: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("package", "image") == 0
    assert run("package", "image", "--push", "example.com/models:7") == 0
    assert run("package", "image", "--push", "example.com/models", "--output", "x.tar") == 0
    assert [options["output"] for options in images] == [
        Path("build/image.tar"),
        None,
        Path("x.tar"),
    ]
    assert [str(options["push"]) for options in images[1:]] == [
        "example.com/models:7",
        "example.com/models",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[1] == "the report"
    assert lines[2] == 'image_uri = "example.com/models@sha256:0f"'


def test_an_image_has_the_python_and_packages_of_a_pickle_and_others(
    registry: Registry, images: list[dict[str, Any]]
) -> None:
    push_pickle(registry)
    options = ["--for", "guess:1", "--with", "pandas==2.3.3", "--base", "./base"]
    assert run("package", "image", *options, "--architecture", "arm64") == 0
    environment = registry.manifest("guess").environment
    assert environment
    assert images == [
        {
            "base": "./base",
            "python": environment.python,
            "architecture": "arm64",
            "requirements": (*environment.requirements, "pandas==2.3.3"),
            "output": Path("build/image-guess-1.tar"),
            "push": None,
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("runtime --base debian", "--base is allowed only for an image"),
        ("control --push example.com/models", "--push is allowed only for an image"),
        ("control --with pandas", "--with is allowed only for"),
        ("image --upload s3://builds", "--upload is allowed only for a runtime or control package"),
    ],
)
def test_options_of_another_kind_are_refused(
    images: list[dict[str, Any]],
    builds: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("package", *arguments.split())
    assert message in error(capsys)
    assert images == builds == []


def test_a_repository_that_is_none_is_refused_before_the_build(
    images: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("package", "image", "--push", "https://example.com/models") == 1
    assert "is not the name of an image: expected host/repository" in error(capsys)
    assert images == []


def test_an_image_for_a_model_that_needs_no_packages_is_refused(
    registry: Registry,
    tmp_path: Path,
    images: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    scaling_bundle(tmp_path).publish(registry)
    assert run("package", "image", "--for", "fraud:1") == 1
    assert "fraud:1 is stored as onnx and needs no packages of its own. Leave out --for" in error(
        capsys
    )
    assert images == []
