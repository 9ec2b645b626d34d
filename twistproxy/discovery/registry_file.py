"""Services from a YAML (or JSON) file, which is read again whenever it changes.

services:
  app.default.svc.cluster.local:
  - 127.0.0.1:8081
  - {ip_address: 127.0.0.1, port: 8082, tags: {az: a, canary: true, load_balancing_weight: 50}}
  idle: []
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twistproxy.discovery.file_watch import FileWatch, FileWatcher
from twistproxy.discovery.registration import RegistrationError, parse_host
from twistproxy.errors import StartError
from twistproxy.model.endpoint import Endpoint

Services = dict[str, tuple[Endpoint, ...]]


def parse_services(text: str) -> Services:
    """Reads the file's text.  Raises `RegistrationError`, which says where."""
    try:
        root = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise RegistrationError(f"not YAML: {e}") from None
    if not isinstance(root, dict) or set(root) != {"services"}:
        raise RegistrationError("a mapping with the one key `services` is required")
    services = root["services"] or {}
    if not isinstance(services, dict):
        raise RegistrationError("services: a mapping of names to lists of hosts is required")
    return {_name(name): _hosts(hosts, f"services[{name!r}]") for name, hosts in services.items()}


def _name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise RegistrationError(f"services[{name!r}]: a name is required")
    return name


def _hosts(hosts: object, path: str) -> tuple[Endpoint, ...]:
    if hosts is not None and not isinstance(hosts, list):
        raise RegistrationError(f"{path}: a list of hosts is required")
    return tuple(_host(host, f"{path}[{index}]") for index, host in enumerate(hosts or ()))


def _host(host: object, path: str) -> Endpoint:
    if isinstance(host, str):
        address, _, port = host.rpartition(":")
        if address.startswith("[") and address.endswith("]"):
            address = address[1:-1]
        if not port.isdigit():
            raise RegistrationError(f"{path}: address:port is required, not {host!r}")
        return parse_host({"ip_address": address, "port": int(port)}, path)
    return parse_host(host, path)


class FileRegistry(Service):
    """A `Registry` from a file.

    A file that is bad at the start is a `StartError`; a bad one later changes nothing.
    """

    ready = True

    def __init__(self, path: str, watcher: FileWatcher, log: Logger) -> None:
        self._path = path
        self._watcher = watcher
        self._log = log
        self._services: Services = {}
        self._watch: FileWatch | None = None

    def hosts(self, service: str) -> tuple[Endpoint, ...]:
        """See `Registry`.  Any name will do."""
        return self._services.get(service, ())

    def startService(self) -> None:
        """Read the file, now and whenever it changes."""
        super().startService()  # type: ignore[no-untyped-call]
        self._watch = self._watcher.watch(self._path, self._changed)
        try:
            self._services = self._read()
        except (OSError, RegistrationError) as e:
            raise StartError(f"{self._path}: {_describe(e)}") from None

    def stopService(self) -> Deferred[Any] | None:
        """Watch no more."""
        if self._watch is not None:
            self._watcher.unwatch(self._watch)
            self._watch = None
        super().stopService()  # type: ignore[no-untyped-call]
        return None

    def _read(self) -> Services:
        try:
            return parse_services(Path(self._path).read_text("utf-8"))
        except UnicodeDecodeError as e:
            raise RegistrationError(f"not UTF-8: {e}") from None

    def _changed(self) -> None:
        try:
            self._services = self._read()
        except (OSError, RegistrationError) as e:
            self._log.error(
                "{path}: {reason}; the services stay as they are", path=self._path, reason=_describe(e)
            )
            return
        self._log.info("{path}: {count} services", path=self._path, count=len(self._services))


def _describe(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
