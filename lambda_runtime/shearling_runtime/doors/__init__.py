"""The doors by which a model is reached: one module for each form of event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from shearling_runtime.doors import alb, direct, payload_1, payload_2

if TYPE_CHECKING:
    from shearling_runtime.routes import Caller, Reply
    from shearling_runtime.server import Server


class Door(Protocol):
    """What the module of a door has."""

    def takes(self, event: Any) -> bool:
        """Say whether an event came by this door."""
        ...

    def ask(self, event: Any, caller: Caller, server: Server) -> Reply:
        """Have the server answer an event."""
        ...

    def write(self, event: Any, reply: Reply) -> Any:
        """Return a reply in the form that the door expects.

        Raises:
            PayloadTooLargeError: Lambda does not carry it.
        """
        ...


_HTTP: tuple[Door, ...] = (payload_2, alb, payload_1)
_DIRECT: Door = direct


def door_of(event: Any) -> Door:
    """Return the door by which an event came; what no other takes is a direct invocation."""
    for door in _HTTP:
        if door.takes(event):
            return door
    return _DIRECT
