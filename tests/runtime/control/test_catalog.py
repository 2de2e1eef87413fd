"""The catalog function, which lists the models of a stack."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from shearling.registry.registry import Registry
from shearling_runtime.control import catalog as index
from shearling_runtime.local import event_of
from tests.support.bundles import scaling_bundle
from tests.support.http_server import event_1_0
from tests.support.releases import record

if TYPE_CHECKING:
    from pathlib import Path

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:acme_index"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    uri = str(tmp_path / "registry")
    monkeypatch.setenv("SHEARLING_REGISTRY", uri)
    monkeypatch.setenv("SHEARLING_RELEASER", "acme_releaser")
    return Registry(uri)


def deploy(registry: Registry, model: str, *aliases: str, **fields: str) -> None:
    function = f"acme-{model}"
    document = {
        "account": "123456789012",
        "aliases": list(aliases),
        "api_url": None,
        "function": function,
        "model": model,
        "region": "eu-west-1",
        "releaser": "acme_releaser",
        "runtime": "python3.13",
        **fields,
    }
    key = f"deployments/{document['account']}-{document['region']}-{function}.json"
    registry.store.write(key, json.dumps(document).encode())


def release(registry: Registry, model: str, alias: str, version: int, **fields: str) -> None:
    (deployment,) = registry.release_log.deployments(model)
    record(registry, deployment, alias, 1, version, **{"lambda_version": "3", **fields})


def ask(method: str, path: str, body: str = "", **headers: str) -> tuple[int, dict[str, str], str]:
    answer = handled(event_of(method, path, list(headers.items()), body.encode()))
    return answer["statusCode"], answer["headers"], answer["body"]


def handled(event: dict[str, Any]) -> dict[str, Any]:
    return index.handler(event, SimpleNamespace(invoked_function_arn=ARN, aws_request_id="1-2-3"))


def listed(body: str = "{}") -> Any:
    status, _, text = ask("POST", "/v2/repository/index", body, accept="*/*")
    assert status == 200, text
    return json.loads(text)


def test_models_are_listed_with_the_versions_that_their_aliases_serve(registry: Registry) -> None:
    deploy(registry, "fraud", "prod", "shadow", "staging")
    release(registry, "fraud", "prod", 7)
    release(registry, "fraud", "shadow", 7)
    release(registry, "fraud", "staging", 8)
    assert listed() == [
        {"name": "fraud", "version": "7", "state": "READY", "aliases": ["prod", "shadow"]},
        {"name": "fraud", "version": "8", "state": "READY", "aliases": ["staging"]},
    ]


def test_a_failed_release_does_not_hide_what_is_served(registry: Registry) -> None:
    deploy(registry, "fraud", "prod")
    release(registry, "fraud", "prod", 7)
    release(registry, "fraud", "prod", 8, outcome="failed")
    assert [entry["version"] for entry in listed()] == ["7"]


def test_an_alias_without_a_release_is_unavailable_with_a_reason(registry: Registry) -> None:
    deploy(registry, "fraud", "prod")
    (entry,) = listed()
    assert (entry["state"], entry["version"]) == ("UNAVAILABLE", "")
    assert "no model is released" in entry["reason"]
    assert listed('{"ready": true}') == []


def test_functions_of_other_stacks_are_not_listed(registry: Registry) -> None:
    deploy(registry, "fraud", "prod", releaser="other_releaser")
    deploy(registry, "embed", "prod", region="eu-west-2")
    deploy(registry, "churn", "prod", account="999999999999")
    assert listed() == []


@pytest.mark.parametrize("body", ["[", "[1]", '{"ready": "yes"}'])
def test_an_invalid_body_is_refused(registry: Registry, body: str) -> None:
    assert registry.release_log.deployments() == []
    status, _, text = ask("POST", "/v2/repository/index", body, accept="*/*")
    assert status == 400
    assert "body" in json.loads(text)["error"]


def test_the_server_has_metadata_and_health(registry: Registry) -> None:
    assert registry.release_log.deployments() == []
    assert "model_repository" in json.loads(ask("GET", "/v2")[2])["extensions"]
    assert json.loads(ask("GET", "/v2/health/live")[2]) == {"live": True}
    assert json.loads(ask("GET", "/v2/health/ready")[2])["ready"] is True


def test_the_front_page_links_to_the_page_of_each_alias(registry: Registry) -> None:
    deploy(registry, "fraud", "prod", "staging")
    deploy(registry, "embed", "prod")
    release(registry, "fraud", "prod", 7)
    release(registry, "fraud", "staging", 8)
    status, headers, page = ask("GET", "/", accept="text/html,*/*")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<a href="v2/models/fraud/versions/prod/docs">prod</a></td><td>7</td>' in page
    assert '<a href="v2/models/fraud/versions/staging/docs">staging</a></td><td>8</td>' in page
    assert "v2/models/embed" not in page
    assert "script-src 'none'" in headers["content-security-policy"]
    assert "%" not in page.partition("<tbody>")[2]


@pytest.mark.parametrize(("path", "base"), [("/live", "/live/"), ("/live/", "/live/"), ("/", "/")])
def test_the_front_page_of_a_rest_api_has_the_stage_in_its_links(
    registry: Registry, path: str, base: str
) -> None:
    deploy(registry, "fraud", "prod")
    release(registry, "fraud", "prod", 7)
    page = handled(event_1_0("GET", path, [], b"", "live"))["body"]
    assert f'href="{base}v2/models/fraud/versions/prod/docs"' in page


def test_the_front_page_is_json_on_request(registry: Registry) -> None:
    deploy(registry, "fraud", "prod")
    _, headers, text = ask("GET", "/", accept="application/json")
    assert headers["content-type"] == "application/json"
    assert [model["name"] for model in json.loads(text)["models"]] == ["fraud"]


def test_names_are_escaped(registry: Registry) -> None:
    deploy(registry, "fraud", "<script>alert(1)</script>")
    assert "<script" not in ask("GET", "/")[2]


def test_another_path_or_method_is_refused_with_what_is_allowed(registry: Registry) -> None:
    assert registry.release_log.deployments() == []
    assert ask("GET", "/v1/models")[0] == 404
    status, headers, _ = ask("GET", "/v2/repository/index")
    assert (status, headers["allow"]) == (405, "POST, OPTIONS")
    assert ask("OPTIONS", "/v2")[0] == 204
    assert ask("HEAD", "/v2")[2] == ""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        *(
            ("GET", path, b"")
            for path in ("/", "/v2", "/v2/health/live", "/v2/health/ready", "/v1")
        ),
        ("HEAD", "/", b""),
        ("POST", "/v2/repository/index", b'{"ready": true}'),
        ("POST", "/v2/repository/index", b""),
    ],
)
def test_a_rest_api_gets_the_same_answers_as_an_http_api(
    registry: Registry, method: str, path: str, body: bytes
) -> None:
    deploy(registry, "fraud", "prod")
    over_http = handled(event_of(method, path, [], body))
    assert handled(event_1_0(method, f"/live{path}", [], body, "live")) == over_http


def test_a_registry_that_cannot_be_read_is_a_503_without_its_address(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", "gopher://nowhere")
    status, _, text = ask("GET", "/v2/health/ready")
    assert status == 503
    assert "gopher" not in text
    assert "gopher" in capfd.readouterr().out


def test_a_bundle_without_a_deployment_is_not_listed(registry: Registry, tmp_path: Path) -> None:
    scaling_bundle(tmp_path).publish(registry)
    assert listed() == []
