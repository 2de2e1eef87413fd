"""Writes the tables of inputs and outputs into the READMEs of the Terraform modules.

`python -m tests.support.module_docs --write` after a change; `--check` says which are stale.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = REPOSITORY / "terraform"
#: The private module that has the types of the root module's inputs of type `any`.
TYPES = ROOT / "modules" / "inputs"

#: Longer types, and those with comments in them, are shown below the table.
_INLINE_CHARACTERS = 40


class ModuleDocsError(RuntimeError):
    """A README lacks the place for a table, or a variable lacks what a table shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One variable of a module; `type` is its source, `default` HCL or None if required."""

    name: str
    type: str
    default: str | None
    description: str

    @property
    def is_long(self) -> bool:
        """Whether the type needs a place of its own."""
        return "\n" in self.type or len(self.type) > _INLINE_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a module."""

    name: str
    description: str


def module_directories(root: Path = ROOT) -> list[Path]:
    """The root module and the modules below it."""
    below = sorted(each.parent for each in root.glob("modules/*/variables.tf"))
    return [root, *below]


def inputs(module: Path) -> list[Input]:
    """The variables of a module: required ones first, then in the order of the files."""
    source = "\n".join(file.read_text() for file in _variable_files(module))
    found = [
        Input(
            name=name,
            type=_shown_type(module, source, name),
            default=_hcl(body["default"]) if "default" in body else None,
            description=_description(name, body),
        )
        for name, body in _blocks(source, "variable")
    ]
    return sorted(found, key=lambda each: each.default is not None)


def _variable_files(module: Path) -> list[Path]:
    return sorted(module.glob("variables*.tf"))


def outputs(module: Path) -> list[Output]:
    """The outputs of a module, in the order of the file."""
    source = (module / "outputs.tf").read_text()
    return [
        Output(name=name, description=_description(name, body))
        for name, body in _blocks(source, "output")
    ]


def validations(module: Path) -> dict[str, int]:
    """How many validations each variable has, those under a removed name included."""
    files = [*_variable_files(module), *module.glob("removed.tf")]
    blocks = [block for file in files for block in _blocks(file.read_text(), "variable")]
    return {name: len(body.get("validation", [])) for name, body in blocks}


def attributes(variable: str) -> set[str]:
    """Paths of the attributes of an input of the root module; `*` stands for any name."""
    source = (TYPES / "variables.tf").read_text()
    prefix: list[str] = []
    found: set[str] = set()
    for line in _type_source(source, variable).splitlines()[1:-1]:
        code = line.split("#")[0].strip()
        if match := re.match(r"(\w+)\s+= (.*)", code):
            found.add("".join([*prefix, match[1]]))
            if code.endswith("{"):
                prefix.append(f"{match[1]}.*." if "map(" in match[2] else f"{match[1]}.")
        elif code.startswith("}"):
            prefix.pop()
    return found


def _shown_type(module: Path, source: str, name: str) -> str:
    shown = _type_source(source, name)
    if shown == "any" and module == ROOT:
        return _type_source((TYPES / "variables.tf").read_text(), name)
    return shown


def rendered(module: Path) -> str:
    """The module's README with the tables as they should be."""
    text = (module / "README.md").read_text()
    text = _replaced(text, "INPUTS", _inputs_table(inputs(module)), module)
    return _replaced(text, "OUTPUTS", _outputs_table(outputs(module)), module)


def is_stale(module: Path) -> bool:
    """Whether the README tells something else than the module's files."""
    return rendered(module) != (module / "README.md").read_text()


def _blocks(source: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
    parsed: dict[str, Any] = hcl2.loads(source)
    return [
        (_unquoted(name), body) for block in parsed.get(kind, []) for name, body in block.items()
    ]


def _description(name: str, body: dict[str, Any]) -> str:
    if "description" not in body:
        raise ModuleDocsError(f"{name} has no description")
    return _unquoted(body["description"])


def _unquoted(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value


def _hcl(value: object) -> str:
    """A default as it is written; the parser leaves strings in their quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(_hcl, value))}]"
    return json.dumps(value)


def _type_source(source: str, name: str) -> str:
    """The type of a variable as it is written, comments included, which no parser keeps."""
    start = re.search(rf'^variable "{name}" \{{\n(?:.*\n)*?  type += ', source, re.MULTILINE)
    if start is None:
        raise ModuleDocsError(f"{name} has no type")
    lines = source[start.end() :].splitlines()
    taken: list[str] = []
    depth = 0
    for line in lines:
        code = line.split("#")[0]
        taken.append(line)
        depth += sum(code.count(each) for each in "({[") - sum(code.count(each) for each in ")}]")
        if depth == 0:
            break
    first, *rest = taken
    return "\n".join([first, *textwrap.dedent("\n".join(rest)).splitlines()])


def _inputs_table(found: list[Input]) -> str:
    rows = ["| name | type | default | description |", "| --- | --- | --- | --- |"]
    for each in found:
        kind = f"{each.type.split('(')[0]}, see below" if each.is_long else f"`{each.type}`"
        default = "required" if each.default is None else f"`{each.default}`"
        rows.append(f"| `{each.name}` | {kind} | {default} | {_cell(each.description)} |")
    types = [f"`{each.name}`:\n\n```hcl\n{each.type}\n```" for each in found if each.is_long]
    return "\n\n".join(["\n".join(rows), *types])


def _outputs_table(found: list[Output]) -> str:
    rows = ["| name | description |", "| --- | --- |"]
    return "\n".join(
        rows + [f"| `{each.name}` | {_cell(each.description)} |" for each in found],
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _replaced(text: str, what: str, table: str, module: Path) -> str:
    begin, end = f"<!-- BEGIN_{what} -->\n", f"<!-- END_{what} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ModuleDocsError(f"{module / 'README.md'}: no single {begin.strip()} ... {end}")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{table}\n\n{end}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Write the READMEs, or say which are stale."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.module_docs", description=__doc__
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="exit with 1 if a README is stale")
    mode.add_argument("--write", action="store_true", help="bring the READMEs up to date")
    options = parser.parse_args(arguments)
    stale = [module for module in module_directories() if is_stale(module)]
    for module in stale:
        readme = module / "README.md"
        if options.write:
            readme.write_text(rendered(module))
        sys.stderr.write(
            f"{readme.relative_to(REPOSITORY)}: {'written' if options.write else 'stale'}\n"
        )
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
