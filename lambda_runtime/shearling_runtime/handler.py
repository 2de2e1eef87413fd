"""The composition root: the only module with effects at import."""

from __future__ import annotations

import os
from typing import Any

from shearling_runtime.events import Context, respond
from shearling_runtime.server import Server
from shearling_runtime.settings import Settings

_SETTINGS = Settings.from_environment(os.environ)
_SETTINGS.point_caches_at_scratch(os.environ)
_SERVER = Server(_SETTINGS)
_SERVER.start()


def handler(event: Any, context: Context) -> Any:
    """Answer an event; Lambda calls this."""
    return respond(event, context, _SERVER)
