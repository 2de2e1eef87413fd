"""What an alias serves and shall keep serving under new code, though its newest entry failed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shearling.outcome import FAILED

if TYPE_CHECKING:
    from shearling.target import Sight, Target


def kept(target: Target, sight: Sight) -> Sight | None:
    """Return the sight in which what an alias shows is wished for, if the real wish failed.

    None if there is no such failure, or if the alias shows something else than was released last.
    So this wish never changes the model that is shown, whoever else is at work.
    """
    if not sight.recorded(FAILED):
        return None
    success = next(target.registry.successes(target.deployment, target.alias), None)
    log = target.registry.history(target.deployment.model, target.alias) if success else []
    entry = next((it for it in log if success and it.number == success.entry), None)
    if success and not entry:
        return None
    wish = target.wish(entry)
    if wish == target.wish(sight.entry):
        return None  # it failed under other code: it is what must pass now
    pins = target.pins(sight.alias)
    is_shown = pins.pop(sight.alias.version, None) == wish.pin
    is_shared = not wish.canary or set(pins.values()) == {wish.canary}
    return replace(sight, entry=entry, last=success) if is_shown and is_shared else None
