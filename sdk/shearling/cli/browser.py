"""Open a URL that contains a secret, which other users could read on the browser's command line."""

from __future__ import annotations

import html
import tempfile
import webbrowser
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def open_in_browser(url: str) -> Iterator[None]:
    """Open a temporary file in the browser that redirects to a URL, and keep it during the block.

    Only this user can read the file and its directory.
    """
    with tempfile.TemporaryDirectory(prefix="shearling-open-") as directory:
        page = Path(directory, "open.html")
        page.touch(mode=0o600)
        page.write_text(_REDIRECTION.format(html.escape(url)), "utf-8")
        webbrowser.open(page.as_uri())
        yield


_REDIRECTION = """\
<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={0}">
<title>shearling open</title>
<a href="{0}">Open the model's page</a>
"""
