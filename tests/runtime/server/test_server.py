"""The production server, as a process with workers."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

import shearling as sdk
from shearling.cli import main as shearling
from tests.support.bundles import ROWS, scaling_bundle
from tests.support.http_load import load
from tests.support.production_server import Served, production_server, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shearling.refs import Pin

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ONE_ROW = b'{"instances": [[1, 2]]}'
BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size="


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def registry(directory: Path) -> str:
    return str(directory / "registry")


@pytest.fixture(scope="module")
def pin(directory: Path, registry: str) -> Pin:
    return scaling_bundle(directory).publish(registry).pin


@pytest.fixture(scope="module")
def server(directory: Path, registry: str, pin: Pin) -> Iterator[Served]:
    variables = {"SHEARLING_WORKERS": "2", "SHEARLING_MAX_BODY_MB": "1"}
    with production_server(directory, registry, pin, "--alias", "prod", **variables) as server:
        server.wait_until_ready()
        server.wait_for_workers(2)
        yield server


def invoked(server: Served, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(f"{server.url}/invocations", body, named)


def problem(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    status, headers, body = answer
    assert headers["content-type"] == "application/json"
    return status, json.loads(body)["error"]


def test_ping_is_200_when_the_model_has_answered_its_example(server: Served) -> None:
    assert request(f"{server.url}/ping")[::2] == (200, b'{"ready":true}')


def test_invocations_and_the_protocols_paths_give_the_same_answer(server: Served) -> None:
    paths = ["/invocations", "/v2/models/fraud/infer", "/v2/models/fraud/versions/prod/infer"]
    bodies = {request(f"{server.url}{path}", ONE_ROW)[::2] for path in paths}
    [(status, body)] = bodies
    assert (status, json.loads(body)["predictions"]) == (200, [[2.0, 4.0]])


def test_the_model_is_described_and_has_its_page(server: Served) -> None:
    assert json.loads(request(f"{server.url}/v2/models/fraud")[2])["versions"] == ["1"]
    _, headers, page = request(f"{server.url}/v2/models/fraud/docs")
    assert headers["content-type"].startswith("text/html")
    assert b"<html" in page


def test_compressed_bodies_are_taken(server: Served) -> None:
    status, _, _ = invoked(server, gzip.compress(ONE_ROW), content_encoding="gzip")
    assert status == 200


@pytest.mark.parametrize("spelling", [BINARY, BINARY.upper(), BINARY.replace(";", " ; ")])
def test_the_length_of_the_json_is_read_from_the_type(server: Served, spelling: str) -> None:
    tensor = {"name": "X", "datatype": "FP32", "shape": [3, 2]}
    text = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": 24}}]}).encode()
    body = text + ROWS.tobytes()
    status, headers, answer = invoked(server, body, content_type=f"{spelling}{len(text)}")
    assert status == 200, answer
    assert headers["content-type"] == "application/json"  # binary outputs were not asked for


def test_a_body_without_json_is_the_only_input(server: Served) -> None:
    status, headers, answer = invoked(server, ROWS.tobytes(), content_type=f"{BINARY}0")
    assert status == 200, answer
    assert headers["content-type"].startswith(BINARY)
    np.testing.assert_array_equal(np.frombuffer(answer[-24:], "<f4"), 2 * ROWS.ravel())


@pytest.mark.parametrize("length", ["", "-1", "abc", "1e3", "99999999999999"])
def test_a_length_that_is_no_number_is_refused_with_the_type(server: Served, length: str) -> None:
    status, error = problem(invoked(server, ONE_ROW, content_type=f"{BINARY}{length}"))
    assert status == 400
    assert error.startswith("content-type: ")


def test_a_length_beyond_the_body_is_refused(server: Served) -> None:
    status, error = problem(invoked(server, ONE_ROW, content_type=f"{BINARY}999"))
    assert status == 400
    assert "999" in error


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: missing"),
        (b"{", "body: not JSON"),
        (b"\xff\xfe", "body: not JSON"),
        (b'{"instances": [[1]]}', "'X'"),
        (b'{"instances": [["a", 2]]}', "'a' at [0, 0] is not a number"),
    ],
)
def test_a_bad_request_gets_a_400_that_says_what_is_wrong(
    server: Served, body: bytes, message: str
) -> None:
    status, error = problem(invoked(server, body))
    assert status == 400
    assert message in error


def test_a_body_above_the_limit_gets_a_413_plain_and_compressed(server: Served) -> None:
    large = b" " * (8 << 20) + ONE_ROW
    status, error = problem(invoked(server, large))
    assert (status, error) == (413, "a request can have 1,048,576 bytes at most")
    status, error = problem(invoked(server, gzip.compress(large), content_encoding="gzip"))
    assert status == 413
    assert "1,048,576" in error


def test_an_answer_above_the_limit_gets_a_413_that_names_this_server(server: Served) -> None:
    rows = b'{"instances": [' + b",".join([b"[1,2]"] * 150_000) + b"]}"
    status, error = problem(invoked(server, rows))
    assert status == 413
    assert "this server returns 1,048,576 at most" in error


def test_other_methods_and_paths_are_refused_in_the_models_own_form(server: Served) -> None:
    assert problem(request(f"{server.url}/invocations"))[0] == 405
    assert problem(request(f"{server.url}/metrics", b"x"))[0] == 405
    assert problem(request(f"{server.url}/nowhere"))[0] == 404
    assert problem(request(f"{server.url}/v2/models/other/infer", ONE_ROW))[0] == 404
    assert request(f"{server.url}/invocations", method="OPTIONS")[:1] == (204,)


def test_metrics_count_the_requests_of_all_workers(server: Served) -> None:
    def count(status: str) -> float:
        name = f'shearling_requests_total{{route="invocations",status="{status}"}} '
        lines = [line for line in server.metrics().splitlines() if line.startswith(name)]
        return float(lines[0].removeprefix(name)) if lines else 0.0

    good, bad = count("200"), count("400")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: invoked(server, ONE_ROW), range(40)))
    invoked(server, b"{")
    assert (count("200"), count("400")) == (good + 40, bad + 1)
    text = server.metrics()
    assert 'shearling_model{digest="sha256:' in text
    assert "shearling_ready_workers 2.0" in text
    assert "nowhere" not in text  # what callers send is no label


def test_32_clients_at_once_get_their_own_answers(server: Served) -> None:
    def ask(number: int) -> bool:
        body = json.dumps({"instances": [[number, -number]] * (1 + number % 5)}).encode()
        answers = [invoked(server, body) for _ in range(5)]
        expected = [[2.0 * number, -2.0 * number]] * (1 + number % 5)
        return all(json.loads(body)["predictions"] == expected for _, _, body in answers)

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(32)))


def test_a_worker_that_is_killed_is_replaced_while_others_answer(
    directory: Path, registry: str, pin: Pin
) -> None:
    with production_server(directory, registry, pin, SHEARLING_WORKERS="2") as server:
        server.wait_until_ready()
        first = frozenset(server.wait_for_workers(2))
        os.kill(min(first), signal.SIGKILL)
        assert invoked(server, ONE_ROW)[0] == 200
        while server.workers() <= first:
            time.sleep(0.05)
        assert len(server.wait_for_workers(2) - first) == 1
        assert '"reason":"signal 9 (too little memory?)"' in server.log


def test_sigterm_lets_running_requests_end_and_refuses_new_connections(
    directory: Path, registry: str, pin: Pin
) -> None:
    with production_server(directory, registry, pin, SHEARLING_WORKERS="2") as server:
        server.wait_until_ready()
        with load(server.url, ONE_ROW, clients=8) as outcome:
            outcome.wait_for(200)
            server.terminate()
            assert server.process.wait(20) == 0
    assert set(outcome.statuses) == {200}
    assert outcome.lost == []


class SlowModel:
    """A pickled model that computes for as long as a request says; nothing else is so slow."""

    def predict(self, rows: np.ndarray) -> np.ndarray:
        seconds, mark = rows[0]
        end = time.process_time() + float(seconds)
        while mark == 271828 and time.process_time() < end:
            pass
        return rows


def slowly(seconds: float) -> bytes:
    return json.dumps({"instances": [[seconds, 271828]]}).encode()


@pytest.fixture(scope="module")
def slow(registry: str) -> Pin:
    example = np.zeros((1, 2), np.float32)
    version = sdk.push_model(
        SlowModel(), "slow", example=example, format="cloudpickle", registry=registry
    )
    return version.pin


def test_a_request_that_runs_at_sigterm_is_answered(
    directory: Path, registry: str, slow: Pin
) -> None:
    variables = {"SHEARLING_ALLOW_PICKLE": "true", "SHEARLING_WORKERS": "1"}
    with production_server(directory, registry, slow, **variables) as server:
        server.wait_until_ready()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(invoked, server, slowly(1.5))
            time.sleep(0.5)
            server.terminate()
            assert running.result()[0] == 200
        assert server.process.wait(20) == 0


def test_ping_is_answered_while_every_thread_is_busy(
    directory: Path, registry: str, slow: Pin
) -> None:
    variables = {"SHEARLING_ALLOW_PICKLE": "true", "SHEARLING_WORKERS": "1"}
    with production_server(directory, registry, slow, **variables) as server:
        server.wait_until_ready()
        threads = [threading.Thread(target=invoked, args=(server, slowly(1))) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        started = time.monotonic()
        assert request(f"{server.url}/ping")[0] == 200
        assert time.monotonic() - started < 2  # SageMaker's limit
        for thread in threads:
            thread.join()


def test_a_request_that_waited_too_long_gets_a_504(
    directory: Path, registry: str, slow: Pin
) -> None:
    variables = {"SHEARLING_ALLOW_PICKLE": "true", "SHEARLING_WORKERS": "1"}
    variables["SHEARLING_TIMEOUT_SECONDS"] = "1"
    with production_server(directory, registry, slow, **variables) as server:
        server.wait_until_ready()
        with ThreadPoolExecutor(4) as pool:
            body = slowly(0.8)
            answers = list(pool.map(lambda _: invoked(server, body), range(4)))
    statuses = sorted(status for status, _, _ in answers)
    assert statuses[0] == 200
    assert statuses[-1] == 504
    [late, *_] = [body for status, _, body in answers if status == 504]
    assert "raise SHEARLING_TIMEOUT_SECONDS" in json.loads(late)["error"]


def test_a_pickle_that_is_not_allowed_is_never_ready_and_says_why(
    directory: Path, registry: str, slow: Pin
) -> None:
    with production_server(directory, registry, slow) as server:
        status, reason = 503, "the model is being loaded"
        while reason == "the model is being loaded":
            status, reason = problem(_retried(f"{server.url}/ping"))
        assert status == 503
        assert "pickle" in reason
        assert problem(invoked(server, ONE_ROW)) == (503, reason)
        assert request(f"{server.url}/v2/health/live")[0] == 200
        assert request(f"{server.url}/v2/health/ready")[0] == 503


def _retried(url: str) -> tuple[int, dict[str, str], bytes]:
    """Return the response to a request, once the server listens."""
    for _ in range(500):
        try:
            return request(url)
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the server does not listen")


def test_a_registry_that_comes_back_is_tried_again(
    directory: Path, registry: str, pin: Pin, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "registry"
    elsewhere.mkdir()
    (elsewhere / "blobs").symlink_to("blobs")  # cannot be read, as a disk that fails
    with production_server(directory, str(elsewhere), pin) as server:
        assert _retried(f"{server.url}/ping")[0] == 503
        while "not ready" not in server.log:
            time.sleep(0.05)
        (elsewhere / "blobs").unlink()
        shutil.copytree(registry, elsewhere, dirs_exist_ok=True)
        server.wait_until_ready()
        assert invoked(server, ONE_ROW)[0] == 200


def test_a_bundle_in_the_model_directory_needs_no_registry(
    directory: Path, registry: str, pin: Pin, tmp_path: Path
) -> None:
    pulled = tmp_path / "model"
    assert shearling(["pull", "fraud:1", str(pulled), "--blobs", "--registry", registry]) == 0
    variables = {"SHEARLING_MODEL_DIRECTORY": str(pulled)}
    with production_server(directory, "", pin, **variables) as server:
        server.wait_until_ready()
        assert invoked(server, ONE_ROW)[0] == 200


def test_a_bundle_in_the_model_directory_that_was_changed_is_not_served(
    directory: Path, registry: str, pin: Pin, tmp_path: Path
) -> None:
    pulled = tmp_path / "model"
    assert shearling(["pull", "fraud:1", str(pulled), "--blobs", "--registry", registry]) == 0
    for path in (pulled / "blobs/sha256").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    variables = {"SHEARLING_MODEL_DIRECTORY": str(pulled)}
    with production_server(directory, "", pin, **variables) as server:
        reason = "the model is being loaded"
        while reason == "the model is being loaded":
            _, reason = problem(_retried(f"{server.url}/ping"))
    assert f"SHEARLING_REGISTRY is not set, and {pulled} has no whole copy of fraud:1" in reason


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SHEARLING_MODEL": ""}, "SHEARLING_MODEL is not set. Set it to a pin"),
        ({"SHEARLING_MODEL": "fraud:7"}, "SHEARLING_MODEL: "),
        ({"SHEARLING_WORKERS": "none"}, "SHEARLING_WORKERS is 'none'; expected a whole number"),
        ({"SHEARLING_WORKERS": "0"}, "SHEARLING_WORKERS is '0'; expected a whole number from 1"),
        ({"SHEARLING_MAX_BODY_MB": "-1"}, "SHEARLING_MAX_BODY_MB is '-1'"),
        ({"SHEARLING_SCRATCH": "/dev/null/x"}, "SHEARLING_SCRATCH /dev/null/x: Not a directory."),
    ],
)
def test_a_wrong_setting_ends_the_server_with_its_name(
    registry: str, pin: Pin, variables: dict[str, str], message: str
) -> None:
    environment = {"SHEARLING_MODEL": str(pin), "SHEARLING_REGISTRY": registry, **variables}
    done = subprocess.run(
        [sys.executable, "-m", "shearling_runtime.server", "serve", "--port", "0"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_ends_the_server_with_what_to_do(
    server: Served, directory: Path, registry: str, pin: Pin
) -> None:
    port = server.url.rpartition(":")[2]
    with production_server(directory, registry, pin, "--port", port) as second:
        assert second.process.wait(30) == 1
        assert f"127.0.0.1 port {port}: Address already in use. Pass another --port" in second.log


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_an_address_of_no_own_ends_the_server_with_what_to_do(
    directory: Path, registry: str, pin: Pin, host: str
) -> None:
    with production_server(directory, registry, pin, "--host", host) as server:
        assert server.process.wait(30) == 1
        assert server.log.startswith(f"{host} port ")
        assert server.log.endswith("Pass another --host\n")
        assert "Unknown error" not in server.log


def test_workers_that_cannot_start_end_the_server_with_their_error(
    directory: Path, registry: str, pin: Pin, tmp_path: Path
) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError('no uvicorn here')")
    with production_server(directory, registry, pin, PYTHONPATH=str(tmp_path)) as server:
        assert server.process.wait(60) == 1
        assert "no uvicorn here" in server.log


def test_workers_end_with_a_server_that_is_killed(directory: Path, registry: str, pin: Pin) -> None:
    with production_server(directory, registry, pin, SHEARLING_WORKERS="2") as server:
        server.wait_until_ready()
        workers = server.wait_for_workers(2)
        server.process.kill()
        server.process.wait()
        for _ in range(500):
            running = [pid for pid in workers if os.path.exists(f"/proc/{pid}/exe")]  # noqa: PTH110
            if not running:
                return
            time.sleep(0.02)
        raise AssertionError(f"still running: {running}")
