"""Images from a base of this machine's files: built, pushed, read by others' tools, and run."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shearling.cli import main
from shearling.client.connect import connect
from shearling.loopback import Reply, Request, serving
from shearling.package.image import ImageReport, build_image
from tests.embedded_aws import REGION, install
from tests.support.base_images import machine_base
from tests.support.bundles import scaling_bundle
from tests.support.containers import Container, Image, needs_root
from tests.support.http_load import load
from tests.support.image_registry import free_port, image_registry, needs_registry
from tests.support.packages import host_architecture
from tests.support.production_server import request
from tests.support.runtime_emulator import RuntimeEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.refs import Pin

pytestmark = [pytest.mark.slow, needs_registry, needs_root]

#: The content type of JSON with binary tensors after it.
BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size="


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def registry_host(directory: Path) -> Iterator[str]:
    """A registry that has the base image, for both architectures."""
    with image_registry(directory) as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
        layout = machine_base(directory / "base")
        _run("skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", f"oci:{layout}",
             f"docker://{host}/debian/python:3")  # fmt: skip
        yield host


@pytest.fixture(scope="module")
def pushed(registry_host: str) -> str:
    """The image that the command pushed, by its name with its digest."""
    options = ["--base", f"{registry_host}/debian/python:3"]
    options += ["--architecture", host_architecture(), "--push", f"{registry_host}/models:7"]
    assert main(["package", "image", *options]) == 0
    return f"docker://{registry_host}/models:7"


@pytest.fixture(scope="module")
def pin(directory: Path) -> Pin:
    bundle = scaling_bundle(directory)
    return bundle.publish(str(directory / "models")).pin


@pytest.fixture(scope="module")
def image(pushed: str, directory: Path) -> Image:
    return Image(pushed, directory / "unpacked")


@pytest.fixture(scope="module")
def container(image: Image, pin: Pin, directory: Path) -> Iterator[Container]:
    with _running(image, pin, directory) as container:
        yield container


def _running(image: Image, pin: Pin, directory: Path, **variables: str) -> Any:
    environment = {"SHEARLING_REGISTRY": "/registry", "SHEARLING_MODEL": str(pin), **variables}
    mounts = {"/registry": directory / "models"}
    return image.running(free_port(), environment, mounts, directory / "container.log")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stdout


def _inspected(source: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        _run("skopeo", "inspect", "--tls-verify=false", "--config", source)
    )
    return document


def _built(registry_host: str, output: Path, **options: Any) -> ImageReport:
    return build_image(base=f"{registry_host}/debian/python:3", output=output, **options)


def test_the_same_inputs_give_the_same_bytes_pushed_or_written(
    registry_host: str, pushed: str, tmp_path: Path
) -> None:
    report = _built(registry_host, tmp_path / "image.tar", architecture=host_architecture())
    layout = f"oci-archive:{report.path}"
    in_registry = _run("skopeo", "inspect", "--tls-verify=false", "--raw", pushed)
    assert in_registry == _run("skopeo", "inspect", "--raw", layout)
    assert report.digest == f"sha256:{hashlib.sha256(in_registry.encode()).hexdigest()}"
    # Whoever read images before OCI's layout reads the same one.
    assert _inspected(f"docker-archive:{report.path}") == _inspected(pushed)


def test_an_image_starts_the_server_and_keeps_what_its_base_sets(pushed: str) -> None:
    configuration = _inspected(pushed)
    settings = configuration["config"]
    entry = ["/var/task/python", "-m", "shearling_runtime.server"]
    assert (settings["Entrypoint"], settings["Cmd"]) == (entry, ["serve"])
    assert settings["ExposedPorts"] == {"8080/tcp": {}}
    assert "PATH=/usr/local/bin:/usr/bin" in settings["Env"]
    assert len(configuration["rootfs"]["diff_ids"]) == 3


def test_an_image_for_the_other_architecture_has_its_wheels(
    registry_host: str, tmp_path: Path
) -> None:
    report = _built(registry_host, tmp_path / "image.tar", architecture="arm64")
    assert _inspected(f"oci-archive:{report.path}")["architecture"] == "arm64"
    layout = f"oci:{tmp_path / 'layout'}:image"
    _run("skopeo", "copy", "-q", f"oci-archive:{report.path}", layout)
    _run("umoci", "unpack", "--image", layout.removeprefix("oci:"), str(tmp_path / "bundle"))
    [library] = (tmp_path / "bundle/rootfs/var/task/orjson").glob("orjson.*.so")
    machine = int.from_bytes(library.read_bytes()[18:20], "little")
    assert machine == 183  # ELF's number of AArch64


def test_ping_is_answered_at_once_and_positively_when_the_model_is_loaded(
    image: Image, pin: Pin, directory: Path
) -> None:
    with _running(image, pin, directory) as container:
        statuses = container.wait_until_ready()
    assert set(statuses) <= {503}


@pytest.fixture
def url(container: Container) -> str:
    container.wait_until_ready()
    return f"{container.url}/invocations"


def test_json_is_answered(url: str) -> None:
    status, _, body = request(
        url, b'{"instances": [[1, 2], [3, 4]]}', {"content-type": "text/json"}
    )
    assert (status, json.loads(body)["predictions"]) == (200, [[2.0, 4.0], [6.0, 8.0]])


def test_csv_is_answered_with_csv(url: str) -> None:
    status, headers, body = request(url, b"1,2\n", {"content-type": "text/csv"})
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert body == b"Y[0],Y[1]\r\n2.0,4.0\r\n"


def test_binary_tensors_have_the_length_of_the_json_in_the_type_both_ways(url: str) -> None:
    rows = np.array([[1, 2], [3, 4]], "<f4")
    size = {"binary_data_size": rows.nbytes}
    tensor = {"name": "X", "datatype": "FP32", "shape": [2, 2], "parameters": size}
    document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    text = json.dumps(document).encode()
    kind = f"{BINARY}{len(text)}"
    status, headers, body = request(url, text + rows.tobytes(), {"content-type": kind})
    assert status == 200, body
    assert headers["content-type"].startswith(BINARY)
    length = int(headers["content-type"].removeprefix(BINARY))
    [output] = json.loads(body[:length])["outputs"]
    assert (output["name"], output["shape"]) == ("Y", [2, 2])
    np.testing.assert_array_equal(np.frombuffer(body[length:], "<f4").reshape(2, 2), rows * 2)


def test_bad_input_gets_a_400_that_names_it(url: str) -> None:
    status, _, body = request(url, b'{"instances": [[1, "x"]]}')
    assert status == 400
    assert "'x' at [0, 1] is not a number" in json.loads(body)["error"]


def test_a_registry_in_s3_is_read_with_the_role_of_the_container(
    image: Image, directory: Path, s3_uri: str, aws_environment: dict[str, str]
) -> None:
    pin = scaling_bundle(directory).publish(s3_uri).pin
    asked: list[str | None] = []

    def credentials(request: Request) -> Reply:
        asked.append(request.header("authorization"))
        expiry = "2099-01-01T00:00:00Z"
        document = {"AccessKeyId": "test", "SecretAccessKey": "test", "Token": "t"}
        return Reply(200, {}, json.dumps(document | {"Expiration": expiry}).encode())

    (directory / "token").mkdir(exist_ok=True)
    (directory / "token" / "token").write_text("the token of the pod")
    with serving(credentials, body_limit=0) as port:
        variables = {
            "SHEARLING_REGISTRY": s3_uri,
            "SHEARLING_MODEL": str(pin),
            "AWS_ENDPOINT_URL_S3": aws_environment["AWS_ENDPOINT_URL"],
            "AWS_REGION": REGION,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token/token",
        }
        mounts = {"/token": directory / "token"}
        log = directory / "s3.log"
        with image.running(free_port(), variables, mounts, log) as container:
            container.wait_until_ready()
            status, _, _ = request(f"{container.url}/invocations", b'{"instances": [[1, 2]]}')
    assert status == 200
    assert set(asked) == {"the token of the pod"}


def test_the_sdk_calls_a_container_as_any_api(container: Container) -> None:
    container.wait_until_ready()
    model = connect(container.url, model="fraud")
    answer = model.infer(np.ones((3, 2), np.float32))
    np.testing.assert_array_equal(answer["Y"], np.full((3, 2), 2.0))


def test_sigterm_under_load_loses_no_request_that_was_accepted(
    image: Image, pin: Pin, directory: Path
) -> None:
    with _running(image, pin, directory) as container:
        container.wait_until_ready()
        with load(container.url, b'{"instances": [[1, 2]]}', clients=8) as outcome:
            outcome.wait_for(200)
            container.terminate()
            assert container.process.wait(20) == 0
    assert set(outcome.statuses) == {200}
    assert outcome.lost == []


class _LambdaImage(RuntimeEmulator):
    """A function of package type image, on AWS's runtime interface emulator."""

    def __init__(self, image: Image, mounts: dict[str, Path], environment: dict[str, str]) -> None:
        super().__init__(Path(), "shearling_runtime.handler.handler", environment)
        self._image, self._image_mounts = image, mounts

    def _sandbox(self) -> Any:
        image, mounts = self._image, self._image_mounts

        class Sandbox:
            def command(self, *arguments: str) -> list[str]:
                return image.command([image.process["args"][0], *arguments], mounts)

            def environment(self) -> dict[str, str]:
                return {**image.environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

        return Sandbox()


def test_the_same_image_is_a_function_with_the_handler_as_its_entry(
    image: Image, pin: Pin, directory: Path
) -> None:
    environment = {"SHEARLING_REGISTRY": "/registry", "SHEARLING_MODEL": str(pin)}
    install.rie_binary()
    with _LambdaImage(image, {"/registry": directory / "models"}, environment) as function:
        answer = function.invoke({"instances": [[1, 2]]})
        checked = function.invoke({"shearling": "check"})
    assert answer["predictions"] == [[2.0, 4.0]]
    assert checked["passed"], checked
