"""The composition root: the only module with effects at import."""

from __future__ import annotations

import gc
import os
from typing import Any

from shearling_runtime.events.dispatch import Context, respond
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings

_SETTINGS = Settings.from_environment(os.environ)
_SETTINGS.prepare(os.environ)
_SERVER = ModelServer(_SETTINGS)
# Imports make many objects and no garbage: nobody looks for any now, nor in them later.
gc.disable()
_SERVER.start()
gc.freeze()
gc.enable()


def handler(event: Any, context: Context) -> Any:
    """Answer an event; Lambda calls this."""
    return respond(event, context, _SERVER)
