"""Names of images in registries, as in `host/repository:tag@sha256:...`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shearling.errors import PackageError
from shearling.loopback import host_name, is_loopback

#: The grammar of the distribution specification.
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

#: The registry of a name without a host, and the host that serves it.
_DOCKER_HUB, _DOCKER_HUB_API = "docker.io", "registry-1.docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """A repository of images, and the image in it.

    Attributes:
        host: host of the registry, and its port if it has one.
        repository: path of the repository.
        tag: name of the image; empty if there is none.
        digest: digest of the image's manifest, which pins it; empty if there is none.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Parse a name as `docker pull` takes it.

        Raises:
            PackageError: the text is not such a name.
        """
        name, has_digest, digest = text.partition("@")
        host, has_host, path = name.partition("/")
        if not has_host or not (host == "localhost" or "." in host or ":" in host):
            host, path = _DOCKER_HUB, name if has_host else f"library/{name}"
        repository, has_tag, tag = path.partition(":")
        is_valid = (
            host_name(f"//{host}")
            and _REPOSITORY.fullmatch(repository)
            and (not has_tag or _TAG.fullmatch(tag))
            and (not has_digest or _DIGEST.fullmatch(digest))
        )
        if not is_valid:
            raise PackageError(
                f"{text!r:.200} is not the name of an image: expected host/repository, as in "
                "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models, with an optional :tag or "
                "@sha256:<64 hex digits>"
            )
        return cls(host=host, repository=repository, tag=tag, digest=digest)

    @property
    def selector(self) -> str:
        """What names the image within its repository; a digest comes before a tag."""
        return self.digest or self.tag or "latest"

    @property
    def api(self) -> str:
        """The URL of the repository; plain HTTP is only for this machine, as in Docker."""
        host = _DOCKER_HUB_API if self.host == _DOCKER_HUB else self.host
        scheme = "http" if is_loopback(host_name(f"//{host}")) else "https"
        return f"{scheme}://{host}/v2/{self.repository}"

    def pinned(self, digest: str) -> str:
        """Return the name of the image with a digest, and without a tag."""
        return f"{self.host}/{self.repository}@{digest}"

    def __str__(self) -> str:
        name = f"{self.host}/{self.repository}"
        tag = f":{self.tag}" if self.tag else ""
        return f"{name}{tag}@{self.digest}" if self.digest else f"{name}{tag}"
