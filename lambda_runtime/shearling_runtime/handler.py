"""Create the model server and handle events; the only module with side effects at import."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings

if TYPE_CHECKING:
    from shearling_runtime.events.context import Context

_SETTINGS = Settings.from_environment(os.environ)
_SETTINGS.prepare(os.environ)
_SERVER = ModelServer(_SETTINGS)
# Imports create many objects and no garbage, so the collector skips them now and later.
gc.disable()
_SERVER.start()
gc.freeze()
gc.enable()


def handler(event: Any, context: Context) -> Any:
    """Answer an event; the entry point that Lambda calls."""
    return respond(event, context, _SERVER)
