"""EDS clusters whose endpoints lie in a file: a DiscoveryResponse with one ClusterLoadAssignment.

Envoy: configuration/overview/xds_api, filesystem subscriptions.  A file that cannot be read or used changes
nothing: it is logged and counted (`update_failure`: cannot be read or parsed; `update_rejected`: parsed, but
not for this cluster or not valid; `update_empty`: no resources).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format, text_format
from google.protobuf.message import DecodeError
from twisted.logger import Logger

from twistproxy.discovery.file_watch import FileWatch, FileWatcher
from twistproxy.discovery.load_assignment import read_load_assignment
from twistproxy.discovery.source import ClusterUpdates
from twistproxy.errors import ConfigError, ConfigProblem
from twistproxy.model.discovery import EdsFileSource
from twistproxy.model.endpoint import Endpoint


class EdsFileDiscovery:
    """A running `EdsFileSource`."""

    def __init__(
        self, source: EdsFileSource, watcher: FileWatcher, updates: ClusterUpdates, log: Logger
    ) -> None:
        self.source = source
        self._watcher = watcher
        self._updates = updates
        self._log = log
        self._watch: FileWatch | None = None

    def start(self) -> None:
        """Read the file, now and whenever it changes."""
        source = self.source
        self._watch = self._watcher.watch(source.path, self.read, source.watched_directory)
        self.read()

    def stop(self) -> None:
        """Watch no more."""
        self._updates.stop()
        if self._watch is not None:
            self._watcher.unwatch(self._watch)
            self._watch = None

    def read(self) -> None:
        """Read the file and publish what is in it."""
        updates, source = self._updates, self.source
        updates.attempt()
        try:
            response = parse_discovery_response(Path(source.path))
        except (OSError, ValueError) as e:
            updates.failure()
            self._warn("cannot be read", e)
            return
        try:
            endpoints = self._endpoints(response)
        except ConfigError as e:
            updates.rejected()
            self._warn("rejected", e)
            return
        if endpoints is None:
            updates.empty()
            self._log.warn(
                "cluster {cluster}: {path} has no ClusterLoadAssignment; the endpoints stay as they are",
                cluster=source.cluster,
                path=source.path,
            )
            return
        change = updates.success(endpoints)
        if change:
            self._log.info(
                "cluster {cluster}: {path} changed: {change}",
                cluster=source.cluster,
                path=source.path,
                change=change,
            )

    def _endpoints(self, response: discovery_pb2.DiscoveryResponse) -> tuple[Endpoint, ...] | None:
        """None if there is no assignment.  `ConfigError` if it cannot be used."""
        source = self.source
        if not response.resources:
            return None
        if len(response.resources) > 1:
            # Envoy's words (eds.cc).
            raise _error(f"Unexpected EDS resource length: {len(response.resources)}")
        assignment = endpoint_pb2.ClusterLoadAssignment()
        try:
            if not response.resources[0].Unpack(assignment):
                raise _error(f"is {response.resources[0].type_url!r}, not a ClusterLoadAssignment")
        except DecodeError as e:
            raise _error(str(e)) from None
        endpoints, problems, unread = read_load_assignment(assignment, source.service_name or source.cluster)
        if source.unsupported == "error":
            problems += unread
        elif unread:
            self._warn("partly not supported", ConfigError(unread))
        if problems:
            raise ConfigError(problems)
        return endpoints

    def _warn(self, what: str, error: Exception) -> None:
        self._log.warn(
            "cluster {cluster}: {path} {what}: {reason}",
            cluster=self.source.cluster,
            path=self.source.path,
            what=what,
            reason=str(error).replace("\n", "; "),
        )


def parse_discovery_response(path: Path) -> discovery_pb2.DiscoveryResponse:
    """Reads a file as Envoy does, by its suffix: .pb binary, .pb_text text format, .yaml and .yml YAML, else
    JSON.

    Raises OSError or ValueError.
    """
    data = path.read_bytes()
    response = discovery_pb2.DiscoveryResponse()
    try:
        match path.suffix:
            case ".pb":
                response.ParseFromString(data)
            case ".pb_text":
                text_format.Parse(data.decode(), response)
            case ".yaml" | ".yml":
                content = yaml.load(data, _StringDates)
                if not isinstance(content, dict):
                    raise ValueError("is not a DiscoveryResponse: a mapping is required")
                json_format.ParseDict(content, response)
            case _:
                json_format.Parse(data, response)
    except (DecodeError, text_format.ParseError, json_format.ParseError, yaml.YAMLError) as e:
        raise ValueError(str(e)) from None
    except (TypeError, AttributeError, UnicodeDecodeError) as e:
        raise ValueError(f"is not a DiscoveryResponse: {e}") from None
    return response


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StringDates(_Loader):
    """YAML as protobuf's JSON mapping wants it: what looks like a date is a string."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Loader.yaml_implicit_resolvers.items()
    }


def _error(message: str) -> ConfigError:
    return ConfigError([ConfigProblem("resources[0]", message)])
