"""Name a command's options in messages that name the parameters of the Python functions."""

from __future__ import annotations

import re

#: Parameters of the functions that are options of their commands, as in `allow_breaking`.
PARAMETERS = (
    "alias",
    "allow_breaking",
    "allow_pickle",
    "atol",
    "canary",
    "example",
    "force",
    "load",
    "max_concurrency",
    "max_difference",
    "metadata",
    "min_agreement",
    "min_rows",
    "model",
    "name",
    "new",
    "reason",
    "region",
    "registry",
    "rows_per_call",
    "rtol",
    "wait",
)

#: What is more than a parameter, and is replaced before the parameters are.
PHRASES = {
    "call redrive() once the cause is mended": (
        "run `shearling batch redrive` once the cause is mended"
    ),
    "give the format of all inputs as `input_format`": "pass --input-format",
    "Pass larger students (student=[...])": "In Python, pass larger students (student=[...])",
    "pass student=, a pipeline": "in Python, pass student=, a pipeline",
    "pass example=X": "pass --example",
    "pass measure=False": "pass --no-measure",
    "metric needs the true values: pass y=...": "--metric needs the true values: pass "
    "--label-column or --labels",
    "needs rows to ask the versions about: pass data too": (
        "needs rows to ask the versions about: pass --csv or --npy too"
    ),
    "pass new=True to set_alias": "pass new=True",
    "load_model(<pinned ref>, allow_pickle=True)": "`shearling serve <pinned ref> --allow-pickle`",
    "Choose a version with set_alias": "Choose a version with `shearling alias set`",
    "Pass token=, or set SHEARLING_TOKEN for the command": "Set SHEARLING_TOKEN",
    "(auth='iam'; --region for the command)": "(--region names the region to sign for)",
    "set the content type `text/csv; header=present` or `text/csv; header=absent` (in the command: "
    "--header)": "pass --header present or --header absent",
    "Pass it to import_model, with the same arguments": "Run `shearling import` instead of `push`",
    "format='cloudpickle'": "format='cloudpickle' to `push_model` in Python",
    "The result's `versions` tells which version answered each row; infer_many(..., version=N)": (
        "In Python, the result's `versions` tells which version answered each row, and "
        "`infer_many(..., version=N)`"
    ),
}

_PHRASE = re.compile("|".join(map(re.escape, PHRASES)))

#: A parameter with a value that an option has too, or with none, as in "raise rtol= or atol=".
_PARAMETER = re.compile(
    rf"""(?<![\w-])({"|".join(PARAMETERS)})=(?:True\b|\.\.\.|"(\w+)"|'(\w+)'|(?![\w"'=\[({{-]|\.\d))"""
)

#: Parameters that messages name with a value, as in "p95_ms -5.0 is not", and their options.
FIELDS = {
    "header": "--header",
    "input_format": "--input-format",
    "largest": "--largest",
    "max_concurrency": "--max-concurrency",
    "max_difference": "--max-difference",
    "max_loss": "--max-loss",
    "metric": "--metric",
    "min_agreement": "--min-agreement",
    "min_rows": "--min-rows",
    "output_format": "--output-format",
    "p95_ms": "--p95",
    "part_bytes": "--part-bytes",
    "per_month": "--per-month",
    "recipe": "--recipe",
    "tolerate": "--tolerate",
}

_FIELD = re.compile(
    rf"""(^|\b(?:and|but) )({"|".join(FIELDS)})(?=:? (?:['"\d-]|(?:nan|inf|is|needs)\b))"""
)

#: The labels and the rows, which several options name.
_LABELS = re.compile(r"(^|: )y has ")
_ROWS = re.compile(r"(^|but )X has (?=\d|dtype)")

#: A list of names of types, as in "pass trusted=['xgboost.core.Booster']".
_TRUSTED = re.compile(r"trusted=(?:\[([^\]]*)\])?")


def with_option_names(message: str) -> str:
    """Return a message of the library with the options of the command."""
    phrased = _PHRASE.sub(lambda match: PHRASES[match[0]], message)
    phrased = _FIELD.sub(lambda match: f"{match[1]}{FIELDS[match[2]]}", phrased)
    phrased = _LABELS.sub(r"\1the labels have ", phrased).removeprefix("y: ")
    phrased = _ROWS.sub(r"\1the data have ", phrased)
    phrased = _TRUSTED.sub(_type_names, phrased)
    return _PARAMETER.sub(_option, phrased)


def _option(match: re.Match[str]) -> str:
    option, value = f"--{match[1].replace('_', '-')}", match[2] or match[3]
    return f"{option} {value}" if value else option


def _type_names(match: re.Match[str]) -> str:
    names = (name.strip(" '") for name in (match[1] or "").split(","))
    return f"--trusted {' '.join(names)}"
