"""What the composed module says of inputs that it does not know, or that have another type."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import hcl2
import pytest

from tests.support import module_docs
from tests.support.terraform_cli import REPOSITORY, cli_configuration

if TYPE_CHECKING:
    from pathlib import Path

ROOT = REPOSITORY / "terraform"
INPUTS = (
    *("models", "registry", "vpc", "file_system", "api", "rest_api", "event_bucket", "kms"),
    *("image_repository", "control_roles", "batch"),
)

#: A model whose endpoints have the given attributes, and an image.
ENDPOINT = (
    'endpoint_image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/m@sha256:'
    + 64 * "0"
    + '"\nmodels = { fraud = { aliases = { prod = {} }, %s } }'
)

#: A model with an event that has the given attributes.
EVENT = "models = { fraud = { aliases = { prod = {} }, events = { incoming = { %s } } } }"

TEST = """
mock_provider "aws" {
  source = "./tests/mocks"
}

run "refused" {
  command = plan
  variables {
    name     = "acme"
    packages = { runtime = "tests/packages/runtime.zip", control = "tests/packages/control.zip" }
%s
  }
}
"""


@pytest.mark.parametrize("name", INPUTS)
def test_the_known_attributes_of_an_input_are_those_of_its_type(name: str) -> None:
    (found,) = hcl2.loads((ROOT / "attributes.tf").read_text())["locals"]
    known = {attribute.strip('"') for attribute in found["attributes"][name]}
    assert known == module_docs.attributes(name)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("inputs") / "terraform"
    shutil.copytree(ROOT, directory, ignore=shutil.ignore_patterns("*.tftest.hcl"))
    terraform(directory, "init", "-backend=false")
    return directory


def terraform(directory: Path, *arguments: str) -> str:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    completed = subprocess.run(
        ["terraform", *arguments, "-no-color"],
        cwd=directory,
        env={**ours, **cli_configuration()},
        capture_output=True,
        text=True,
        check=False,
    )
    return completed.stdout + completed.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            "models = { fraud = { aliases = { prod = {} }, memory = 2048 } }",
            "The model fraud has no attribute memory. The attributes of a model are aliases,",
        ),
        (
            "models = { fraud = { aliases = { prod = { concurrency = 2 } } } }",
            "The alias fraud:prod has no attribute concurrency.",
        ),
        (
            'models = { fraud = { aliases = { prod = {} }, memory_mb = "x" } }',
            "memory_mb of fraud must be a number.",
        ),
        (
            'models = { fraud = { aliases = { prod = { provisioned_concurrency = "two" } } } }',
            "provisioned_concurrency of fraud:prod must be a number.",
        ),
        (
            'models = { fraud = { aliases = { prod = {} }, snap_start = "x" } }',
            "snap_start of fraud must be true or false.",
        ),
        (
            'models = { fraud = { aliases = { prod = {} }, endpoint_name = "x", network = {} } }',
            "endpoint_name with network needs network.security_group_ids",
        ),
        (
            ENDPOINT % 'sagemaker = { instance = "ml.m5.xlarge" }',
            "The model fraud has no attribute sagemaker.instance.",
        ),
        (
            ENDPOINT % 'sagemaker = { instance_type = "ml.m5.xlarge", instances = { most = 2 } }',
            "The model fraud has no attribute sagemaker.instances.most.",
        ),
        (
            ENDPOINT % 'sagemaker = { serverless = { memory_mb = "much" } }',
            "sagemaker.serverless.memory_mb of fraud must be a number.",
        ),
        (
            ENDPOINT % "sagemaker = { serverless = { memory_mb = 2000 } }",
            "Change fraud (2000).",
        ),
        (
            ENDPOINT % 'snap_start = true, sagemaker = { instance_type = "ml.m5.xlarge" }',
            "because the function loads no model: leave out snap_start of fraud.",
        ),
        (
            "models = { fraud = { aliases = { prod = {} }, sagemaker = { serverless = {} } } }",
            "Change fraud (none; endpoint_image_uri has the one of all models).",
        ),
        ('models = { fraud = { aliases = "prod" } }', "map of object required"),
        ('models = { fraud = { aliases = ["prod"] } }', "map of object required"),
        (
            "models = { fraud = { aliases = { prod = {} }, allow_pickles = true } }",
            "The model fraud has no attribute allow_pickles.",
        ),
        (
            "models = { fraud = { aliases = { prod = {} }, reserved_concurency = 5 } }",
            "The model fraud has no attribute reserved_concurency.",
        ),
        (
            "models = { fraud = { aliases = { prod = {} }, file_system = { existing = {} } } }",
            "The model fraud has no attribute file_system.existing.",
        ),
        ("models = { fraud = {} }", 'element "fraud": attribute "aliases" is required'),
        ('models = { fraud = "prod" }', "A model must be an object"),
        (
            'models = { fraud = { aliases = { prod = {} }, package = { bucket = "zips" } } }',
            "Change that of fraud.",
        ),
        (
            'models = { fraud = { aliases = { prod = {} }, role_arn = "arn:aws:iam::1:role/x" } }',
            "The model fraud has no attribute role_arn.",
        ),
        (
            'models = {}\nbatch = { sources = ["s3://lake"], output = ["s3://scores"] }',
            "batch has no attribute output. The attributes are sources, outputs, models,",
        ),
        ('models = {}\nbatch = "s3://lake"', "batch must be an object"),
        (
            'models = {}\nbatch = { sources = ["s3://lake"], outputs = [], models = ["fraud"] }',
            "There is no fraud; the models are .",
        ),
        (
            'models = {}\nbatch = { sources = "s3://lake", outputs = ["s3://scores"] }',
            "list of string required",
        ),
        (
            'models = {}\nkms = { queue = "arn:aws:kms:eu-central-1:1:key/1" }',
            "kms has no attribute queue.",
        ),
        ("models = {}\ncontrol_roles = { index = {} }", "control_roles has no attribute index."),
        (
            "models = {}\nregistry = { former_kms_key_arns = [] }",
            "registry.former_kms_key_arns is now previous_kms_key_arns.",
        ),
        (
            'models = {}\nvpc = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }',
            "vpc.subnet_ids is now subnets, a map of the IDs by names of yours.",
        ),
        (
            'models = {}\nvpc = { vpc_id = "vpc-1", subnets = ["subnet-1"] }',
            'attribute "subnets": map of string required',
        ),
        (
            'models = {}\nnetwork = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }',
            "network is now vpc. Its list subnet_ids is now subnets",
        ),
        ("models = {}\nsweep_minutes = 5", "sweep_minutes is now reconcile_interval_minutes."),
        (
            'models = {}\nrest_api = { authorization = "NONE", usage_plan = {} }',
            "rest_api has no attribute usage_plan.",
        ),
        (
            'models = { fraud = { aliases = { prod = {} }, python = "3.11" } }',
            'python of acme-fraud is "3.11", but must be one of 3.12, 3.13, 3.14.',
        ),
        (
            EVENT % 'output = { prefix = "out/" }, concurrency = 3',
            "The event fraud:incoming has no attribute concurrency.",
        ),
        (
            EVENT % 'source = { folder = "in/" }, output = { prefix = "out/" }',
            "The event fraud:incoming has no attribute source.folder.",
        ),
        (
            EVENT % 'output = { prefix = "out/" }, max_concurrency = "many"',
            "max_concurrency of the event fraud:incoming must be a number.",
        ),
        (
            EVENT % 'output = { prefix = "out/" }, keep_columns = "both"',
            "keep_columns of the event fraud:incoming must be true or false.",
        ),
        (EVENT % 'source = { prefix = "in/" }', "Change fraud:incoming."),
        (
            EVENT % 'alias = "live", output = { bucket = "acme-out", prefix = "out/" }',
            "Change fraud:incoming (alias live).",
        ),
        (
            EVENT % 'source = { prefix = "in/" }, output = { prefix = "in/scored/" }',
            "The output of the event fraud:incoming arrives at the source of fraud:incoming",
        ),
        (
            EVENT % 'source = { bucket = "acme-123456789012-eu-central-1" }, output = {}',
            "source of an event must not be in the registry",
        ),
        ('models = ["fraud"]', "A model must be an object, as in models ="),
        (
            "models = { fraud = { aliases = { prod = null } } }",
            "An alias must be an object, {} for one without attributes. Change fraud:prod.",
        ),
        (
            'models = { fraud = { aliases = { prod = {} }, package = "" } }',
            "A model's package must be a path, or an object in S3",
        ),
        ('models = {}\nregistry = "s3://b"', "registry must be an object, as in { bucket ="),
        ('models = {}\nkms = "arn"', "kms must be an object, as in { logs_key_arn ="),
        (
            "models = {}\nrest_api = { usage_plans = { gold = null } }",
            "Change rest_api.usage_plans.gold.",
        ),
        (
            'models = {}\napi = { detailed_metrics = "yes" }',
            "api.detailed_metrics must be true or false.",
        ),
        ('models = {}\nkms = { logs_key_arn = "alias/x" }', "Change kms.logs_key_arn."),
        ('models = {}\ntags = { "aws:team" = "ml" }', "Rename aws:team."),
    ],
)
def test_a_refusal_names_the_input_and_what_is_allowed(
    module: Path, inputs: str, message: str
) -> None:
    (module / "tests" / "refused.tftest.hcl").write_text(TEST % inputs)
    printed = terraform(module, "test", "-filter=tests/refused.tftest.hcl")
    assert message in re.sub(r"\s+", " ", printed)
