"""The handler's module before 0.2, for functions that are not yet updated; removed in 0.3."""

from shearling_runtime.control.catalog import handler

__all__ = ["handler"]
