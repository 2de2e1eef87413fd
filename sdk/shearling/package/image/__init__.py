"""Build container images without a container engine, and push them to a registry of images."""

from __future__ import annotations

from shearling.package.image.build import build_image
from shearling.package.image.reference import ImageReference
from shearling.package.image.report import ImageReport

__all__ = ["ImageReference", "ImageReport", "build_image"]
