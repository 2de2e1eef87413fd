"""The handler's name before 0.2, for functions that are not updated yet; 0.3 removes it."""

from shearling_runtime.control.releaser import handler

__all__ = ["handler"]
