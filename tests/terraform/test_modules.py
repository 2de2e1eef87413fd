"""The Terraform modules without an AWS: form, validity, every refusal, every right, the READMEs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import hcl2
import pytest

from tests.support import module_docs
from tests.support.terraform_cli import REPOSITORY, cli_configuration

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = REPOSITORY / "terraform"
EXAMPLES = sorted(each.parent for each in (REPOSITORY / "examples").glob("*/main.tf"))

_IGNORED = shutil.ignore_patterns(
    ".terraform", ".terraform.lock.hcl", "*.tfstate*", "*_override.tf", "__pycache__"
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Modules and examples where Terraform may write beside them, in the place they have here."""
    directory = tmp_path_factory.mktemp("modules")
    for part in [ROOT, *EXAMPLES]:
        shutil.copytree(part, directory / part.relative_to(REPOSITORY), ignore=_IGNORED)
    return directory


@pytest.fixture(scope="module")
def initialised(copy: Path) -> Callable[[Path], Path]:
    done: set[Path] = set()

    def initialise(module: Path) -> Path:
        directory = copy / module.relative_to(REPOSITORY)
        if directory not in done:
            terraform(directory, "init", "-backend=false")
            done.add(directory)
        return directory

    return initialise


def terraform(directory: Path, *arguments: str) -> str:
    # No AWS of the caller's is within reach: what these tests show needs none.
    ours = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    completed = subprocess.run(
        ["terraform", *arguments, "-no-color"],
        cwd=directory,
        env={**ours, **cli_configuration(), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, f"{completed.stdout[-8000:]}\n{completed.stderr[-4000:]}"
    return completed.stdout


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY)) if isinstance(path, Path) else str(path)


@pytest.mark.parametrize("directory", [ROOT, REPOSITORY / "examples"], ids=name)
def test_files_are_formatted(directory: Path) -> None:
    terraform(directory, "fmt", "-check", "-diff", "-recursive")


@pytest.mark.parametrize("module", [ROOT, *EXAMPLES], ids=name)
def test_configuration_is_valid(module: Path, initialised: Callable[[Path], Path]) -> None:
    """With the modules that it composes; that each stands alone, its test file shows."""
    terraform(initialised(module), "validate")


@pytest.mark.slow
@pytest.mark.parametrize(
    "test_file", sorted((ROOT / "tests").glob("*.tftest.hcl")), ids=lambda file: file.stem
)
def test_module_refuses_and_grants_what_its_test_file_says(
    test_file: Path, initialised: Callable[[Path], Path]
) -> None:
    printed = terraform(initialised(ROOT), "test", f"-filter=tests/{test_file.name}")
    assert ", 0 failed." in printed
    assert "skip" not in printed


def waits_for(directory: Path, resource: str) -> set[str]:
    """All resources that Terraform creates before a resource."""
    edges = re.findall(r'"(.+)" -> "(.+)";', terraform(directory, "graph"))
    found: set[str] = set()
    new = {resource}
    while new:
        found |= new
        new = {after for before, after in edges if before in new} - found
    return found


def test_models_are_released_after_their_functions_reach_s3_and_the_file_system(
    initialised: Callable[[Path], Path],
) -> None:
    directory = initialised(REPOSITORY / "examples" / "large-model")
    network = "module.inference.module.file_system"
    release = "module.inference.module.releaser.aws_lambda_invocation.release"
    assert waits_for(directory, release) >= {
        f"{network}.aws_efs_mount_target.models",
        "module.inference.module.network.aws_vpc_endpoint.s3",
        f"{network}.aws_vpc_security_group_egress_rule.https",
        f"{network}.aws_vpc_security_group_egress_rule.nfs",
        f"{network}.module.stager.aws_lambda_function.function",
        "module.inference.module.function.module.lambda.aws_lambda_function.function",
    }


def test_subnets_of_functions_are_deleted_after_their_network_interfaces() -> None:
    """Lambda releases them 45 minutes after the functions at the latest."""
    network = hcl2.loads((REPOSITORY / "examples/large-model/network.tf").read_text())
    (subnet,) = (
        each['"aws_subnet"']['"models"'] for each in network["resource"] if '"aws_subnet"' in each
    )
    assert subnet["timeouts"][0]["delete"] == '"60m"'


@pytest.mark.parametrize("module", module_docs.module_directories(), ids=name)
def test_tables_of_the_readme_are_what_the_module_says(module: Path) -> None:
    assert not module_docs.is_stale(module), "run: python -m tests.support.module_docs --write"


@pytest.mark.parametrize("module", module_docs.module_directories(), ids=name)
def test_every_validation_is_tested(module: Path) -> None:
    """As many refusals are expected of a variable as it has validations, or more."""
    test_file = ROOT / "tests" / ("shearling" if module == ROOT else module.name)
    expected = test_file.with_suffix(".tftest.hcl").read_text()
    for variable, validations in module_docs.validations(module).items():
        refusals = expected.count(f"expect_failures = [var.{variable}]")
        assert refusals >= validations, variable


@pytest.mark.parametrize("module", module_docs.module_directories(), ids=name)
def test_modules_use_the_aws_provider_alone(module: Path) -> None:
    text = (module / "terraform.tf").read_text()
    assert text.count("source  =") == 1
    assert '">= 5.100.0, < 7.0.0"' in text
    assert '">= 1.9, < 2.0"' in text


def test_stale_readme_is_noticed_and_rewritten(tmp_path: Path) -> None:
    module = tmp_path / "module"
    shutil.copytree(ROOT / "modules" / "function", module)
    assert not module_docs.is_stale(module)

    variables = module / "variables.tf"
    variables.write_text(variables.read_text().replace("= 1024", "= 2048"))
    assert module_docs.is_stale(module)

    (module / "README.md").write_text(module_docs.rendered(module))
    assert not module_docs.is_stale(module)
    assert "| `memory_mb` | `number` | `2048` |" in (module / "README.md").read_text()


def test_readme_without_a_place_for_its_tables_is_an_error(tmp_path: Path) -> None:
    module = tmp_path / "module"
    shutil.copytree(ROOT / "modules" / "function", module)
    (module / "README.md").write_text("# A module\n")
    with pytest.raises(module_docs.ModuleDocsError, match="BEGIN_INPUTS"):
        module_docs.rendered(module)


def test_variable_without_a_description_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "variables.tf").write_text('variable "name" {\n  type = string\n}\n')
    with pytest.raises(module_docs.ModuleDocsError, match="name has no description"):
        module_docs.inputs(tmp_path)
