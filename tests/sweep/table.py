"""The outcomes of the sweep as a page of the documentation, written and read again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.sweep.cases import DATA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.sweep.cases import Case

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conversions.md"

#: The outcome of a case whose estimator does not accept such data.
UNFITTED = "-"

_OUTCOMES = ("right", "contract", "warned", "refused")

_HEAD = """\
# Which estimators convert

`make sweep` writes this page. It pushes every estimator of scikit-learn, LightGBM and XGBoost with
its defaults and with other settings, fitted on six kinds of data. It then asks the deployed model
about rows unlike the example, through the protocol, and compares each answer with the original's:
held-out rows, zeros, constants, extremes, missing values, unseen categories, and foreign text.

| outcome | meaning |
| --- | --- |
| right | every row is answered as by the original |
| contract | so is every row, except those that the model's contract refuses with status 400 |
| warned | the push warns, and shows a row that is answered differently |
| refused | the push refuses the model, and says why |
| - | the estimator itself does not accept such data |

A contract refuses rows for which the original raises an error, or which could not be proven. The
kinds of data are numbers (three classes), numbers with two classes, numbers with missing values, a
frame of numbers, integers, words and truths behind a ColumnTransformer, words alone, and texts
behind a TfidfVectorizer.

| right | contract | warned | refused |
| --- | --- | --- | --- |
| {counts} |

| estimator | settings | {data} |
| --- | --- | {lines} |
"""


def write_table(cases: Iterable[Case], words: Mapping[str, str]) -> None:
    """Write the page.

    Args:
        cases: all cases, in order.
        words: the outcome by name of the case.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for case in cases:
        row = rows.setdefault((case.estimator, case.settings), {})
        row[case.data] = words[case.name]
    lines = [
        f"| {estimator} | `{_escaped(settings)}` | "
        + " | ".join(outcomes.get(data, " ").strip() for data in DATA)
        + " |"
        for (estimator, settings), outcomes in rows.items()
        if set(outcomes.values()) != {UNFITTED}
    ]
    values = list(words.values())
    counts = " | ".join(str(values.count(word)) for word in _OUTCOMES)
    head = _HEAD.format(
        counts=counts,
        data=" | ".join(DATA),
        lines=" | ".join("---" for _ in DATA),
    )
    PAGE.write_text(head + "\n".join(lines) + "\n")


def read_table() -> dict[str, str]:
    """Return the outcomes on the page by the names of their cases; empty without a page."""
    if not PAGE.exists():
        return {}
    words = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.replace(r"\|", "\0").strip("|").split("|")]
        if len(cells) == len(DATA) + 2 and cells[1].startswith("`"):
            settings = cells[1].strip("`").replace("\0", "|")
            for data, word in zip(DATA, cells[2:], strict=True):
                if word:
                    words[f"{cells[0]}({settings}) on {data}"] = word
    return words


def _escaped(settings: str) -> str:
    return settings.replace("|", r"\|")
