"""The modules where users have them: in a Git repository, copied elsewhere, below Terragrunt."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.embedded_aws import REGION
from tests.support.plans import planned_functions
from tests.support.terraform_cli import REPOSITORY, TerraformStack, write_emulator_override

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow

PACKAGES = {
    kind: str(REPOSITORY / "terraform" / "tests" / "packages" / f"{kind}.zip")
    for kind in ("runtime", "control")
}
MODELS: dict[str, object] = {"fraud": {"aliases": {"prod": {}}}}

PROVIDER = f"""
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
}}

provider "aws" {{
  region = "{REGION}"
}}
"""

CALLER = """
module "inference" {
  source = %s

  name     = "acme"
  packages = %s
  models   = { fraud = { aliases = { prod = {} } } }
}
"""


def plan(
    aws: EmbeddedAws, directory: Path, inputs: dict[str, object] | None = None
) -> dict[str, Any]:
    """Return the plan of a root module; its inputs are JSON in environment variables."""
    write_emulator_override(directory, aws.url)
    given = {f"TF_VAR_{name}": as_variable(value) for name, value in (inputs or {}).items()}
    stack = TerraformStack(directory, environment={**aws.process_environment(), **given})
    stack.init()
    return stack.plan()


def as_variable(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def git(directory: Path, *arguments: str) -> None:
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=directory, check=True, capture_output=True)


def test_the_module_may_be_a_folder_of_a_git_repository(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    repository, caller = tmp_path / "shearling", tmp_path / "caller"
    shutil.copytree(REPOSITORY / "terraform", repository / "terraform")
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "One")
    git(repository, "tag", "v1")
    caller.mkdir()
    source = json.dumps(f"git::file://{repository}//terraform?ref=v1")
    (caller / "main.tf").write_text(PROVIDER + CALLER % (source, json.dumps(PACKAGES)))
    assert set(planned_functions(plan(embedded_aws, caller))) == {"acme-fraud", "acme_releaser"}


def test_the_module_may_be_copied_elsewhere_and_given_absolute_paths(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    caller = tmp_path / "caller"
    caller.mkdir()
    # Without its tests and READMEs: it needs nothing but its own files.
    ignored = shutil.ignore_patterns("tests", "*.md")
    shutil.copytree(REPOSITORY / "terraform", tmp_path / "vendored" / "models", ignore=ignored)
    source = json.dumps("../vendored/models")
    (caller / "main.tf").write_text(PROVIDER + CALLER % (source, json.dumps(PACKAGES)))
    assert set(planned_functions(plan(embedded_aws, caller))) == {"acme-fraud", "acme_releaser"}


def test_inputs_may_be_json_in_environment_variables_as_terragrunt_gives_them(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    # Terragrunt copies the module, adds a provider, and runs Terraform in the copy.
    root = tmp_path / "cache"
    shutil.copytree(REPOSITORY / "terraform", root)
    (root / "provider.tf").write_text(f'provider "aws" {{\n  region = "{REGION}"\n}}\n')
    location = {"bucket": "builds", "key": "control.zip", "source_code_hash": "aGFzaA=="}
    inputs: dict[str, object] = {
        "name": "acme",
        "packages": {**PACKAGES, "control": location},
        "models": MODELS,
        "registry": {"prefix": "ml"},
        "api": {},
        "tags": {"team": "ml"},
    }
    found = planned_functions(plan(embedded_aws, root, inputs))
    assert set(found) == {"acme-fraud", "acme_releaser", "acme_index"}
