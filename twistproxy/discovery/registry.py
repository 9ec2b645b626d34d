"""What the SDS server asks for hosts: one of the providers `registry_file` and `kubernetes`."""

from __future__ import annotations

from typing import Protocol

from twistproxy.model.endpoint import Endpoint


class BadServiceName(Exception):
    """A name that the provider cannot have; `str()` says why."""


class Registry(Protocol):
    """Services and their hosts."""

    @property
    def ready(self) -> bool:
        """Whether it knows what there is.  Before that, an unknown service is not an empty one."""

    def hosts(self, service: str) -> tuple[Endpoint, ...]:
        """The hosts of a service, none if there is no such service.  Raises `BadServiceName`."""
