"""The page to try a model: one HTML document that loads nothing from other hosts."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from shearling.tensors.encoding import has_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shearling.bundle.example import Example

#: Maximum rows of the example in the form, maximum values of an input, and maximum bytes of its
#: pictures.
_ROWS, _VALUES, _PICTURES = 3, 20_000, 500_000

_MARKER = re.compile(r"%(title|style|data|script|rows)%")

#: Characters that could end the script element with the data, or a line of JavaScript.
_UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def docs_page(
    metadata: Mapping[str, Any],
    example: Example | None,
    alias: str | None = None,
    *,
    has_jobs: bool = False,
) -> tuple[str, dict[str, str]]:
    """Return the page of a model, and the headers to send it with.

    Args:
        metadata: metadata of the model, as the protocol defines it.
        example: example that fills the form; None for an empty form.
        alias: alias by which the page was requested.
        has_jobs: whether the page offers an asynchronous job after a slow answer.
    """
    data = {
        "metadata": {**metadata, "alias": alias},
        "example": _tensors(example) if example else [],
        "jobs": has_jobs,
    }
    style, script = _part("page.css"), _part("pictures.js") + _part("page.js")
    values = {
        "title": html.escape(str(metadata["name"])),
        "style": style,
        "script": script,
        "data": embedded_json(data),
    }
    # One pass, so that a marker in the model's texts is not replaced.
    page = _MARKER.sub(lambda match: values[match[1]], _part("page.html"))
    return page, page_headers(style, script)


def index_page(models: Sequence[Mapping[str, Any]], base: str) -> tuple[str, dict[str, str]]:
    """Return the page that lists models, and its headers.

    Args:
        models: entries of Triton's model repository index, with `aliases`.
        base: URL that the paths of the models begin with, with a slash at its end; may be empty.
    """
    style = _part("page.css")
    rows = [_row(model, base) for model in models]
    values = {
        "style": style,
        "rows": "".join(rows) or '<tr><td colspan="4">No model is deployed here yet.</td></tr>',
    }
    page = _MARKER.sub(lambda match: values[match[1]], _part("index.html"))
    return page, page_headers(style)


def _row(model: Mapping[str, Any], base: str) -> str:
    title = f'<th scope="row">{html.escape(model["name"])}</th>'
    aliases = ", ".join(_alias(model, alias, base) for alias in model["aliases"])
    rest = map(html.escape, (model["version"] or "none", model["state"].lower()))
    return f"<tr>{title}{''.join(f'<td>{cell}</td>' for cell in (aliases, *rest))}</tr>"


def _alias(model: Mapping[str, Any], alias: str, base: str) -> str:
    """Return an alias with a link to its page, which answers where a model is released."""
    name = html.escape(alias)
    if not model["version"]:
        return name
    page = f"{base}v2/models/{quote(model['name'])}/versions/{quote(alias)}/docs"
    return f'<a href="{html.escape(page)}">{name}</a>'


def embedded_json(value: object) -> str:
    """Return JSON that is safe inside a script element."""
    return orjson.dumps(value).decode().translate(_UNSAFE)


def page_headers(style: str, script: str = "") -> dict[str, str]:
    """Return the headers of a page, with a policy that allows only this style and script."""
    sources = {
        "default-src": "'none'",
        "script-src": _source(script) if script else "'none'",
        "style-src": _source(style),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "; ".join(f"{key} {value}" for key, value in sources.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _part(name: str) -> str:
    return files("shearling_runtime.apidocs").joinpath(name).read_text("utf-8")


def _tensors(example: Example) -> list[dict[str, Any]]:
    tensors = []
    for name, array in example.inputs.items():
        rows = array[:_ROWS] if array.ndim else array
        if rows.size > _VALUES:
            continue
        data = rows.ravel().tolist()
        if rows.dtype.kind in "iu":
            data = [str(value) for value in data]  # JavaScript's integers are exact only below 2^53
        elif rows.dtype.kind == "f":
            data = [value if abs(value) < float("inf") else None for value in data]
        elif has_bytes(rows):
            if sum(map(len, data)) > _PICTURES:
                continue
            data = [base64.b64encode(picture).decode() for picture in data]
        elif rows.dtype.kind == "O":
            data = [str(value) for value in data]
        tensors.append({"name": name, "shape": list(rows.shape), "data": data})
    return tensors
