"""What a function needs is estimated from the bundle, and written as Terraform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import hcl2
import numpy as np
import pytest

from shearling.bundle.digests import Descriptor
from shearling.bundle.manifest import Environment
from shearling.bundle.measurement import MEASURED_FIELD, Latency
from shearling.converters.remote import Remote
from shearling.errors import (
    InvalidRefError,
    InvalidRequestError,
    ModelNotFoundError,
    PackageError,
)
from shearling.models.plan import plan, terraform_models, undeployed_by
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from tests.support.bundles import MEASURED, scaling_bundle, weights_graph
from tests.support.releases import deploy

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle.manifest import Manifest
    from shearling.models.function_plan import Plan

MIB = 2**20


@pytest.fixture
def registry() -> Registry:
    return Registry(f"memory://{uuid.uuid4().hex}")


def planned(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    manifest: Manifest,
    *,
    weights_mb: int = 0,
    **changes: Any,
) -> Plan:
    """Plan a bundle whose weights are larger than any test would write."""
    weights = Descriptor(path="a" * 64, digest=f"sha256:{'a' * 64}", size=weights_mb * MIB)
    large = replace(manifest, files=(*manifest.files, weights), **changes)
    monkeypatch.setattr(Registry, "manifest", lambda *_: large)
    return plan(manifest.model, registry=registry)


@pytest.fixture
def manifest(registry: Registry, tmp_path: Path) -> Manifest:
    bundle = scaling_bundle(tmp_path)
    bundle.publish(registry)
    return bundle.manifest


def recorded(
    monkeypatch: pytest.MonkeyPatch, registry: Registry, manifest: Manifest, **changes: Any
) -> Registry:
    """Let the record of the version have a measurement."""
    details = {MEASURED_FIELD: json.loads(json.dumps(replace(MEASURED, **changes).to_record()))}
    version = replace(registry.version(manifest.model), details=details)
    monkeypatch.setattr(Registry, "version", lambda *_: version)
    return registry


def slow(one: float, two: float, largest: float = 0.0) -> tuple[Latency, ...]:
    """Milliseconds of one row with one thread and two, and of the largest request."""
    times = {(1, 1): one, (1, 2): two, (64, 1): largest or one}
    return tuple(
        Latency(rows=rows, threads=threads, p50_ms=ms, p95_ms=ms)
        for (rows, threads), ms in times.items()
    )


def test_a_small_model_needs_the_defaults(registry: Registry, manifest: Manifest) -> None:
    found = plan(manifest.model, registry=registry)
    assert found.settings == {"memory_mb": "1024", "aliases": "{ prod = {} }"}


def test_packed_weights_are_in_memory_twice(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(registry, monkeypatch, manifest, weights_mb=1000)
    assert found.memory_mb == 2304  # 256 + 2 * 1001, in steps of 256
    assert found.settings["ephemeral_storage_mb"] == str(1001 + 64)


def test_mapped_weights_need_no_memory(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**manifest.options, "prepack": False}
    found = planned(registry, monkeypatch, manifest, weights_mb=4000, options=options)
    assert found.memory_mb == 1024


def test_a_bundle_larger_than_tmp_gets_a_file_system(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(registry, monkeypatch, manifest, weights_mb=10_240)
    assert found.settings["file_system"] == "{}"
    assert "ephemeral_storage_mb" not in found.settings
    assert "set `vpc` too" in str(found)


def test_a_model_that_fits_no_function_has_the_remedy(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(registry, monkeypatch, manifest, weights_mb=6000)
    assert found.memory_mb == 10_240
    assert 'load="latency"' in found.reasons["memory_mb"]


def test_a_pickle_is_allowed_and_has_its_own_package_and_python(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(python="3.12", requirements=("scikit-learn==1.7.0",))
    found = planned(registry, monkeypatch, manifest, format="cloudpickle", environment=environment)
    assert found.settings["allow_pickle"] == "true"
    assert found.settings["package"] == '"build/fraud.zip"'
    assert found.settings["python"] == '"3.12"'
    assert "shearling package runtime --for fraud:1" in str(found)


def test_a_pickle_of_a_python_that_aws_does_not_have_is_refused(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(python="3.11", requirements=())
    with pytest.raises(
        PackageError, match=r"no function on AWS.*fraud:1.*from Python 3\.12 or new"
    ):
        planned(registry, monkeypatch, manifest, format="cloudpickle", environment=environment)


def test_values_are_those_of_json(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(python="3.12", requirements=())
    changes = {"format": "cloudpickle", "environment": environment}
    found = planned(registry, monkeypatch, manifest, weights_mb=10_240, **changes)
    assert found.values == {
        "memory_mb": 10_240,
        "file_system": {},
        "allow_pickle": True,
        "package": "build/fraud.zip",
        "python": "3.12",
        "aliases": {"prod": {}},
    }


def test_aliases_may_be_given_and_several_have_a_default(
    registry: Registry, manifest: Manifest
) -> None:
    registry.set_alias(manifest.model, "blue", 1)
    for aliases, default in ((["staging", "prod", "prod"], "prod"), (["b", "a"], "b")):
        found = plan(manifest.model, aliases=aliases, registry=registry)
        assert found.aliases == tuple(dict.fromkeys(aliases))
        assert found.values["default_alias"] == default
    assert "default_alias" not in plan(manifest.model, aliases=["dev"], registry=registry).values
    with pytest.raises(InvalidRefError, match="'Prod'"):
        plan(manifest.model, aliases=["Prod"], registry=registry)


def test_models_with_a_function_that_are_not_planned_are_told(
    registry: Registry, manifest: Manifest
) -> None:
    for model in ("fraud", "embed", "churn"):
        deploy(registry, f"acme-{model}", model=model)
    assert undeployed_by([plan(manifest.model, registry=registry)], registry=registry) == [
        "churn",
        "embed",
    ]


def test_aliases_are_those_of_the_registry_with_one_as_default(
    registry: Registry, manifest: Manifest
) -> None:
    for alias in ("blue", "green"):
        registry.set_alias(manifest.model, alias, 1)
    found = plan(manifest.model, registry=registry)
    assert found.settings["aliases"] == "{ blue = {}, green = {} }"
    assert found.settings["default_alias"] == '"blue"'


def test_the_terraform_is_valid_and_has_every_model(registry: Registry, manifest: Manifest) -> None:
    first = plan(manifest.model, registry=registry)
    second = replace(first, pin=replace(first.pin, model="2nd-model"), tmp_mb=None)
    parsed = hcl2.loads(terraform_models([first, second]) + "\n")["models"]
    assert [name.strip('"') for name in parsed] == ["fraud", "2nd-model"]
    assert parsed["fraud"]["memory_mb"] == 1024


def test_an_unknown_model_is_refused(registry: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match="absent"):
        plan("absent", registry=registry)


# Measured


def test_memory_is_what_was_measured_and_what_a_function_adds(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = plan("fraud", registry=recorded(monkeypatch, registry, manifest, peak_mb=2000.0))
    assert found.needed_mb == 2300
    assert found.memory_mb == 2304  # in steps of 64
    assert "2,000 MB were measured with 64 rows" in found.reasons["memory_mb"]
    assert [it.memory_mb for it in found.curve] == [2304, 3538, 5307, 7076, 10240]


def test_a_limit_of_the_latency_gets_the_least_memory_for_it(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, latencies=slow(100, 50))
    assert plan("fraud", registry=registry).memory_mb == 1024
    assert plan("fraud", p95_ms=1000, registry=registry).memory_mb == 1024
    found = plan("fraud", p95_ms=60, registry=registry)
    assert 1769 < found.memory_mb < 3538
    assert found.p95_ms
    assert found.p95_ms <= 60
    assert "(p95)" in found.reasons["memory_mb"]


def test_a_limit_that_no_memory_meets_gets_what_is_about_the_fastest(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, latencies=slow(100, 100))
    found = plan("fraud", p95_ms=10, registry=registry)
    assert 1600 < found.memory_mb <= 1792  # more memory would not be faster
    assert "not 10" in found.reasons["memory_mb"]


def test_requests_a_month_have_their_price(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest)
    found = plan("fraud", per_month=2_000_000, registry=registry)
    assert found.cost_month
    assert found.cost_million
    assert found.cost_month == 2 * found.cost_million
    assert "2,000,000 requests a month" in str(found)
    assert plan("fraud", registry=registry).cost_month is None


def test_a_file_of_prices_replaces_those_of_the_package(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorded(monkeypatch, registry, manifest)
    prices = {
        "region": "eu-south-9",
        "date": "2030-01-31",
        "currency": "EUR",
        "lambda": {"million_requests": 7, "gb_second": 0, "tmp_gb_second": 0},
    }
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(prices))
    found = plan("fraud", prices=path, registry=registry)
    assert found.cost_million == 7
    assert "7.00 EUR (eu-south-9, 2030-01-31)" in str(found)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "50"])
@pytest.mark.parametrize("field", ["p95_ms", "per_month"])
def test_a_number_that_is_not_above_0_is_refused(
    registry: Registry, manifest: Manifest, field: str, value: Any
) -> None:
    with pytest.raises(InvalidRequestError, match=f"{field} .*is not a number above 0"):
        plan(manifest.model, registry=registry, **{field: value})


def test_the_plan_says_that_cost_hardly_depends_on_memory(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, latencies=slow(100, 100))
    found = plan("fraud", registry=registry)
    assert "Below 1,769 MB" in found.notes[0]
    part, whole = (it for it in found.curve if it.memory_mb in (512, 1769))
    assert part.cost_million == pytest.approx(whole.cost_million, rel=0.01)
    assert part.p50_ms > 3 * whole.p50_ms


def test_a_request_that_takes_long_gets_the_time(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, latencies=slow(100, 100, 60_000))
    found = plan("fraud", registry=registry)
    # Three times what the largest request takes with 1,024 / 1,769 of a processor, in steps of 10.
    assert found.timeout_seconds == 320
    assert found.settings["timeout_seconds"] == "320"


def test_a_model_with_more_memory_than_lambda_has_belongs_on_sagemaker(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, peak_mb=20_000.0, model_mb=19_000.0)
    found = plan("fraud", registry=registry)
    assert found.placement == "sagemaker"
    assert found.memory_mb == 10_240
    assert "more than Lambda has" in found.terraform().splitlines()[0]
    assert found.values == {
        "memory_mb": 512,
        "sagemaker": {"instance_type": "ml.m5.2xlarge"},
        "aliases": {"prod": {}},
    }
    parsed = hcl2.loads(terraform_models([found]) + "\n")["models"]["fraud"]
    assert parsed["sagemaker"]["instance_type"].strip('"') == "ml.m5.2xlarge"
    assert "set `endpoint_image_uri` too" in str(found)
    assert any("ml.m5.2xlarge" in note for note in found.notes)


def test_a_pickle_on_sagemaker_is_in_the_image_and_not_in_a_package(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, peak_mb=20_000.0, model_mb=19_000.0)
    environment = Environment(python="3.12", requirements=())
    found = planned(registry, monkeypatch, manifest, format="cloudpickle", environment=environment)
    assert found.values["allow_pickle"] is True
    assert "package" not in found.values
    assert "shearling package image --for fraud:1 --push" in str(found)


def test_a_model_larger_than_every_instance_has_no_endpoint(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, peak_mb=1e6, model_mb=1e6)
    found = plan("fraud", registry=registry)
    assert (found.placement, found.instance_type) == ("sagemaker", None)
    assert found.values["memory_mb"] == 10_240


def test_mapped_weights_beyond_the_memory_of_lambda_are_served_by_it(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, peak_mb=20_000.0, model_mb=100.0)
    found = plan("fraud", registry=registry)
    assert (found.placement, found.memory_mb) == ("tmp", 10_240)


def test_a_request_longer_than_lambda_waits_belongs_on_sagemaker(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, latencies=slow(100, 100, 600_000))
    found = plan("fraud", registry=registry)
    assert (found.placement, found.timeout_seconds) == ("sagemaker", 900)
    assert "sagemaker" not in found.values  # it waits for 60 s only


def test_a_month_that_costs_more_than_an_instance_names_it(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, latencies=slow(100, 100))
    few, many = (plan("fraud", per_month=each, registry=registry) for each in (1000, 10**9))
    assert not any("SageMaker" in note for note in few.notes)
    assert any("ml.m5.large of SageMaker" in note for note in many.notes)


def test_a_version_without_a_measurement_says_so(registry: Registry, manifest: Manifest) -> None:
    found = plan(manifest.model, p95_ms=50, registry=registry)
    assert (found.measured, found.p50_ms, found.cost_million, found.curve) == (None, None, None, ())
    assert "pushed without measuring" in str(found)
    assert found.to_dict()["estimates"]["p50_ms"] is None


def test_a_model_that_answered_nothing_in_time_has_its_memory_alone(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest, latencies=(), peak_mb=2000.0)
    found = plan("fraud", p95_ms=5, registry=registry)
    assert (found.needed_mb, found.p50_ms, found.curve) == (2300, None, ())
    assert "answered no request in the time" in str(found)


def test_a_plan_is_json_text_and_a_picture(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, registry, manifest)
    found = plan("fraud", registry=registry)
    document = json.loads(json.dumps(found.to_dict()))
    assert document["settings"] == found.values
    assert document["estimates"]["p50_ms"] == found.p50_ms
    assert [point["memory_mb"] for point in document["curve"]] == [
        512,
        1024,
        1769,
        3538,
        5307,
        7076,
        10240,
    ]
    lines = str(found).splitlines()
    assert any(line.startswith("1,024 *") and line.endswith("#") for line in lines)
    assert "64 rows, 95th percentile" in str(found)
    assert "<svg" in found._repr_html_()


#: Serves one row with the function's handler, and prints the peak memory of its process in MB.
SERVE = """
from types import SimpleNamespace
from shearling_runtime.handler import handler
from shearling_runtime.telemetry import peak_memory_mb
context = SimpleNamespace(
    aws_request_id="r", function_name="f", invoked_function_arn="a:b:c:d:e:f:g",
    get_remaining_time_in_millis=lambda: 60_000,
)
rows = {"name": "X", "shape": [64, 256], "datatype": "FP32", "data": 64 * 256 * [0.5]}
answer = handler({"inputs": [rows]}, context)
assert "outputs" in answer, answer
print(peak_memory_mb())
"""


@pytest.mark.parametrize(("megabytes", "load"), [(1, None), (48, "throughput"), (32, "latency")])
def test_the_plan_is_within_a_fifth_of_the_memory_of_a_function(
    tmp_path: Path, megabytes: int, load: Any
) -> None:
    uri = str(tmp_path / "registry")
    version = push_model(
        weights_graph(megabytes),
        "fraud",
        example=np.ones((2, 256), np.float32),
        load=load,
        measure=True,
        registry=uri,
    )
    environment = {
        "SHEARLING_REGISTRY": uri,
        "SHEARLING_MODEL": str(version.pin),
        "SHEARLING_SCRATCH": str(tmp_path / "scratch"),
    }
    served = subprocess.run(
        [sys.executable, "-c", SERVE],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    peak = float(served.stdout.splitlines()[-1])
    assert plan("fraud", registry=uri).needed_mb == pytest.approx(peak, rel=0.2)


def test_a_contract_of_an_endpoint_is_not_sized(registry: Registry) -> None:
    rows = np.ones((2, 2), np.float32)
    push_model(Remote({"Y": rows}), "legacy", example=rows, registry=registry)
    with pytest.raises(PackageError, match="set `endpoint_name`"):
        plan("legacy", registry=registry)
