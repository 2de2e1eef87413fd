"""`shearling serve`: a version on this machine, answered by the runtime itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError

import numpy as np
import pytest

import shearling as sdk
from shearling.cli import main as shearling
from tests.support.bundles import scaling_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.slow

PROGRAM = "import sys; from shearling.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def registry(tmp_path: Path) -> str:
    uri = str(tmp_path / "registry")
    scaling_bundle(tmp_path).publish(uri)
    sdk.set_alias("fraud", "prod", 1, registry=uri)
    return uri


@contextmanager
def serving(
    registry: str, *arguments: str, stdout: int | IO[str] = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """Run the command in its own process group, and end the group."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", *arguments, "--registry", registry],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": f"{registry}-cache"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline().strip()


def answered(url: str, body: object = None, headers: Mapping[str, str] | None = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, sent)
    with urllib.request.urlopen(request, timeout=20) as answer:
        text: str = answer.read().decode()
        return text


def test_a_version_is_served_with_its_page_under_its_alias(registry: str) -> None:
    with serving(registry, "fraud:prod", "--port", "0") as process:
        assert line(process).startswith("fraud:1@sha256:")
        url, page = line(process), line(process)
        answer = json.loads(answered(f"{url}/versions/prod/infer", {"instances": [[1, 2]]}))
        assert answer["predictions"] == [[2, 4]]
        assert "<h1" in answered(page)
        model = sdk.connect(url.split("/v2")[0], model="fraud")
        assert model.infer(np.ones((3, 2), np.float32))["Y"].tolist() == [[2, 2]] * 3
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_whatever_ends_the_command_frees_the_port(registry: str, number: signal.Signals) -> None:
    with serving(registry, "fraud", "--port", "0") as process:
        line(process)
        url = line(process)
        assert answered(url)
        process.send_signal(number)  # to this process alone, as a supervisor does
        code = process.wait(20)
        assert code == (-number if number is signal.SIGKILL else 128 + number)
        with socket.create_server(("127.0.0.1", int(url.split("/")[2].split(":")[1]))):
            pass


def test_only_names_of_this_machine_are_served_unless_asked(registry: str) -> None:
    evil = {"host": "evil.example"}
    with serving(registry, "fraud", "--port", "0", "--allow-host", "Dev.example") as process:
        line(process)
        url = line(process)
        for headers in (evil, {"origin": "https://evil.example"}, {"origin": "null"}):
            with pytest.raises(HTTPError) as refused:
                answered(url, headers=headers)
            assert refused.value.code == 403
            assert "evil.example" in (said := refused.value.read().decode()) or "null" in said
        for headers in ({"host": "dev.example"}, {"origin": "https://dev.example"}):
            assert answered(url, headers=headers)


@pytest.mark.parametrize("name", ["https://dev.example", "dev.example:80", "a@b", "[", "", "x/y"])
def test_a_name_that_is_allowed_must_be_a_host_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        shearling(["serve", "fraud", "--allow-host", name])
    assert "is not a host name without a port" in capsys.readouterr().err


def test_a_port_in_use_is_reported(registry: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serving(registry, "fraud", "--port", port) as process:
            assert process.wait(60) == 1
            line(process)
            assert line(process) == f"port {port}: Address already in use. Pass another --port"


def test_a_pickle_is_served_only_where_it_is_allowed_and_pinned(registry: str) -> None:
    pushed = sdk.push_model(
        lambda rows: rows + 1,
        "echo",
        example=np.ones((2, 2), np.float32),
        format="cloudpickle",
        registry=registry,
    )
    for refused in (["echo"], ["echo", "--allow-pickle"], [str(pushed.pin)]):
        with serving(registry, *refused) as process:
            assert process.wait(60) == 1
            assert line(process).endswith(
                f" is a pickle, which runs code when it is loaded. To allow it, run: "
                f"shearling serve {pushed.pin} --allow-pickle"
            )
    with serving(registry, str(pushed.pin), "--allow-pickle", "--port", "0") as process:
        line(process)
        answer = json.loads(answered(f"{line(process)}/infer", {"instances": [[1, 2]]}))
        assert answer["predictions"] == [[2, 3]]


@pytest.fixture
def breakable(registry: str) -> str:
    """The pin of a pickle that fails on [[2]]."""

    def broken(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if rows[0, 0] == 2:
            raise ZeroDivisionError("the model's own error")
        return rows

    rows = np.ones((2, 1), np.float32)
    pushed = sdk.push_model(broken, "b", example=rows, format="cloudpickle", registry=registry)
    return str(pushed.pin)


@pytest.mark.parametrize(
    ("options", "expected"), [([], []), (["--verbose"], ["start", "invocation"])]
)
def test_log_lines_are_printed_only_with_verbose(
    registry: str, tmp_path: Path, options: list[str], expected: list[str]
) -> None:
    log = tmp_path / "stdout"
    with (
        log.open("w") as stdout,
        serving(registry, "fraud", "--port", "0", *options, stdout=stdout) as process,
    ):
        line(process)
        answered(f"{line(process)}/infer", {"instances": [[1, 2]]})
    events = [json.loads(each)["event"] for each in log.read_text().splitlines()]
    assert events == expected


def test_an_error_of_the_model_is_printed_with_its_traceback(
    registry: str, breakable: str, tmp_path: Path
) -> None:
    log = tmp_path / "stdout"
    with (
        log.open("w") as stdout,
        serving(registry, breakable, "--allow-pickle", "--port", "0", stdout=stdout) as process,
    ):
        line(process)
        url = line(process)
        line(process)
        with pytest.raises(HTTPError) as failed:
            answered(f"{url}/infer", {"instances": [[2]]})
        request = json.loads(failed.value.read())["error"].split("request ")[1].split()[0]
        os.killpg(process.pid, signal.SIGINT)
        _, printed = process.communicate(timeout=20)
    title = f"prediction failed (request {request}):\nTraceback (most recent call last):\n"
    assert printed.startswith(title)
    assert printed.endswith("ZeroDivisionError: the model's own error\n")
    assert log.read_text() == ""


@pytest.mark.parametrize("port", ["99999", "-1", "\u00b2", "x"])
def test_a_port_that_does_not_exist_is_refused(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        shearling(["serve", "fraud", "--port", port])
    assert "is not a port, which is 0 to 65535" in capsys.readouterr().err


def test_production_serves_others_with_health_and_metrics(registry: str) -> None:
    with serving(registry, "fraud:prod", "--port", "0", "--production") as process:
        assert line(process).startswith("fraud:1@sha256:")
        host, port = line(process).removeprefix("http://").split(":")
        assert host == "0.0.0.0"
        url = f"http://127.0.0.1:{port}"
        while "ready" not in health(f"{url}/ping"):
            pass
        for path in ("/invocations", "/v2/models/fraud/versions/prod/infer"):
            answer = json.loads(answered(f"{url}{path}", {"instances": [[1, 2]]}))
            assert answer["predictions"] == [[2, 4]]
        assert 'shearling_model{digest="sha256:' in answered(f"{url}/metrics")
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0


def health(url: str) -> str:
    try:
        return answered(url)
    except HTTPError as error:
        with error:
            return error.read().decode()


@pytest.mark.parametrize(
    "option", [["--verbose"], ["--allow-host", "dev.example"], ["--jobs", "jobs"]]
)
def test_options_of_the_local_server_are_refused_in_production(
    registry: str, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        shearling(["serve", "fraud", "--production", *option, "--registry", registry])
    assert f"{option[0]} is not allowed with --production" in capsys.readouterr().err


def test_production_without_its_packages_names_the_extra(
    registry: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvloop" else name)
    with pytest.raises(SystemExit, match="2"):
        shearling(["serve", "fraud", "--production", "--registry", registry])
    assert "needs the packages uvloop. Install them with pip install 'shearling[server]'" in (
        " ".join(capsys.readouterr().err.split())
    )
