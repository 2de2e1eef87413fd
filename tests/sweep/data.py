"""The data that the sweep fits models on, and the unlike rows that it asks them about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS, _COLUMNS = 120, 5

#: The first rows are fitted on and pushed as the example, the others are held out.
_FITTED = 90

_COUNTRIES = ["de", "fr", "us", "at"]

_TEXTS = [
    "a good film, good cast",
    "bad film; very BAD indeed",
    "dogs and cats",
    "the cat sat on a mat",
    "so good!",
    "it's a dog's life in 2024",
]

#: Texts unlike those fitted on.
_FOREIGN_TEXTS = [
    "catégorie",
    "good² film",
    "日本cat good",
    "réfox bad",
    "",
    "  \t ",
    "#",
    "GOOD FILM",
    "İstanbul is good",
    "ΟΔΟΣ good ΣΊΣΥΦΟΣ",
    "good\nfilm\r\nbad  dog",
    "привет GOOD мир",
    "dogs cats dogs cats " * 20,
    "a b c",
    "ﬁlm good cafe\u0301",
    "good\u00a0film bad_film x1",
]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to fit on, and rows to ask about.

    Attributes:
        fitted: rows for `fit`, and the example.
        asked: held-out rows, and rows unlike all of them, by what they are.
        numbers: a number for each fitted row.
        classes: a class out of three for each fitted row.
    """

    fitted: Any
    asked: dict[str, Any]
    numbers: NDArray[Any]
    classes: NDArray[Any]

    @property
    def two_classes(self) -> NDArray[Any]:
        """One of two classes for each fitted row."""
        return np.where(self.classes == "low", 0, 1)


@cache
def table(kind: str) -> Table:
    """Return the data of a kind: numbers, positive, missing, mixed, words or text."""
    return _MAKERS[kind]()


def _matrix(*, positive: bool = False) -> tuple[NDArray[Any], NDArray[Any]]:
    random = np.random.default_rng(11)
    rows = random.normal(size=(_ROWS, _COLUMNS)).astype(np.float32)
    rows[:, 3] = random.integers(0, 4, _ROWS)  # on a grid, so that values equal splits
    if positive:
        rows = np.abs(rows)
    numbers = 2 * rows[:, 0] - rows[:, 1] * rows[:, 2] + 0.3 * rows[:, 3]
    return rows, (numbers - numbers.min() + 1).astype(np.float64)


def _table(rows: Any, asked: dict[str, Any], numbers: NDArray[Any]) -> Table:
    classes = np.array(["low", "mid", "top"], object)[np.digitize(numbers, [3.5, 5.0])]
    return Table(
        rows[:_FITTED], {"held out": rows[_FITTED:]} | asked, numbers[:_FITTED], classes[:_FITTED]
    )


def _numbers(*, positive: bool = False) -> Table:
    rows, numbers = _matrix(positive=positive)
    typical = rows[_FITTED : _FITTED + 4]
    extremes = typical * np.float32(1000)
    asked = {
        "zeros": np.concatenate([np.zeros((1, _COLUMNS), np.float32), _with(typical, 0)]),
        "constant": np.ones((2, _COLUMNS), np.float32),
        "extremes": extremes if positive else np.concatenate([extremes, -extremes]),
        "missing": _with(typical, np.nan),
    }
    return _table(rows, asked, numbers)


def _with(rows: NDArray[Any], value: float) -> NDArray[Any]:
    """Return rows in which one column at a time has a value."""
    changed = np.repeat(rows[:1], _COLUMNS, axis=0)
    np.fill_diagonal(changed, value)
    return changed


def _missing() -> Table:
    rows, numbers = _matrix()
    holes = np.random.default_rng(5).random(rows.shape) < 0.15
    plain = _numbers()
    asked = {name: rows for name, rows in plain.asked.items() if name != "held out"}
    return _table(np.where(holes, np.float32(np.nan), rows), asked, numbers)


def _mixed() -> Table:
    rows, numbers = _matrix()
    frame = pd.DataFrame({"amount": rows[:, 0].astype(np.float64), "size": rows[:, 1]})
    frame["count"] = rows[:, 3].astype(int)
    frame["country"] = np.array(_COUNTRIES, object)[np.arange(_ROWS) % len(_COUNTRIES)]
    frame["member"] = rows[:, 2] > 0
    typical = frame[_FITTED : _FITTED + 3].reset_index(drop=True)
    asked = {
        "zeros": typical.assign(amount=0.0, size=np.float32(0), count=0),
        "unseen categories": typical.assign(country=["nl", "", "日本"]),
        "extremes": typical.assign(amount=[1e4, -1e4, 0.5], count=[-1, 9, 10_000]),
        "missing": typical.assign(amount=np.nan),
    }
    return _table(frame, asked, numbers + np.arange(_ROWS) % len(_COUNTRIES))


def _words() -> Table:
    frame = table("mixed").fitted[["country"]].copy()
    frame["colour"] = np.array(["red", "green", "blue"], object)[np.arange(_FITTED) % 3]
    frame["grade"] = np.arange(_FITTED) % 5
    frame["grade"] = frame["grade"].astype(str)
    asked = {
        "recombined": pd.DataFrame(
            {"country": _COUNTRIES, "colour": ["red", "blue", "blue", "red"], "grade": list("0143")}
        ),
        "unseen categories": pd.DataFrame(
            {"country": ["nl", "de", ""], "colour": ["red", "RED", "日本"], "grade": list("019")}
        ),
    }
    numbers = table("mixed").numbers
    return Table(frame, asked, numbers, table("mixed").classes)


def _text() -> Table:
    texts = np.array([_TEXTS[i % len(_TEXTS)] for i in range(_ROWS)], object)
    texts = np.array([f"{text} {'good' * (i % 7 == 0)}" for i, text in enumerate(texts)], object)
    numbers = np.array([2.0 + 3 * text.count("good") + 0.1 * len(text) % 3 for text in texts])
    return _table(texts, {"foreign": np.array(_FOREIGN_TEXTS, object)}, numbers)


_MAKERS = {
    "numbers": _numbers,
    "positive": lambda: _numbers(positive=True),
    "missing": _missing,
    "mixed": _mixed,
    "words": _words,
    "text": _text,
}
