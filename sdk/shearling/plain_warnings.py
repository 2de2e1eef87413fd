"""Show Python's warnings in a terminal as sentences, without the file and line of the code."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shearling.text_table import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def plain_warnings(sentence: Callable[[str], str] = str) -> Iterator[None]:
    """Write each warning once to standard error, as in `warning: <sentence>`.

    Filters, such as those of PYTHONWARNINGS, decide as before which warnings are shown.

    Args:
        sentence: changes the text of a warning.
    """
    shown = set[str]()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = sentence(" ".join(str(message).split()))
        if text not in shown:
            shown.add(text)
            sys.stderr.write(f"warning: {printable(text)}\n")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
