"""Resources in files of their own: `dynamic_resources` and `rds` with a `path_config_source` (Envoy:
configuration/overview/xds_api, filesystem subscriptions).

They are read with the configuration and become part of its message, so that everything behind needs to know one kind of
listener, cluster and route.  What has changed in a file comes in by a reload.

    included = include_files(bootstrap)
    included.files, included.trees, included.places, included.problems

A file holds a DiscoveryResponse, YAML or JSON; resources may be wrapped in envoy.service.discovery.v3.Resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse, Resource

from twistproxy.config.config_source import FileSource, file_of
from twistproxy.config.json_mapping import Filler
from twistproxy.config.places import Entry, Mapping, Node, Sequence, Tree, flattened
from twistproxy.config.source import parse
from twistproxy.config.types import type_name
from twistproxy.errors import ConfigError, ConfigProblem


@dataclass(slots=True)
class Included:
    """
    files     all that were read
    trees     texts that continue the lists of the configuration
    places    path in the message → the text of what was put there
    problems  with their places, but for those that are of the configuration itself
    """

    files: list[FileSource] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    places: dict[str, Tree] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)


def include_files(bootstrap: Any) -> Included:
    """Put what lies in files into the message."""
    included = Included()
    reading = _Reading(included)
    resources, dynamic = bootstrap.static_resources, bootstrap.dynamic_resources
    lists = (("cds_config", Cluster, "clusters"), ("lds_config", Listener, "listeners"))
    for name, kind, repeated in lists:
        file = file_of(getattr(dynamic, name))
        if file is None:
            continue
        tree, found = reading.resources(file, kind, f"dynamic_resources.{name}")
        getattr(resources, repeated).extend(message for message, _ in found)
        nodes = Sequence([node for _, node in found], 0)
        root = _wrapped("static_resources", _wrapped(repeated, nodes))
        if tree is not None:
            included.trees.append(Tree(tree.source, root, []))
    for at, listener in enumerate(resources.listeners):
        for path, packed in _managers(listener, f"static_resources.listeners[{at}]"):
            _include_routes(packed, path, reading)
    return included


def _wrapped(key: str, node: Node) -> Mapping:
    return Mapping({key: Entry(0, node)}, 0)


def _managers(listener: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The packed HTTP connection managers of a listener, with their paths."""
    chains = [(f"{path}.filter_chains[{at}]", chain) for at, chain in enumerate(listener.filter_chains)]
    if listener.HasField("default_filter_chain"):
        chains.append((f"{path}.default_filter_chain", listener.default_filter_chain))
    for place, chain in chains:
        for at, one in enumerate(chain.filters):
            if one.typed_config.Is(HttpConnectionManager.DESCRIPTOR):
                yield f"{place}.filters[{at}].typed_config", one.typed_config


def _include_routes(packed: Any, path: str, reading: _Reading) -> None:
    """In place of `rds`, what is in its file."""
    manager = HttpConnectionManager.FromString(packed.value)
    file = file_of(manager.rds.config_source) if manager.HasField("rds") else None
    if file is None:
        return
    tree, tables = reading.resources(file, RouteConfiguration, f"{path}.rds.config_source")
    if tree is None:
        return
    name = manager.rds.route_config_name
    wrong = "" if len(tables) == 1 else f"Unexpected RDS resource length: {len(tables)}"
    if not wrong and tables[0][0].name != name:
        wrong = f"Unexpected RDS configuration (expecting {name}): {tables[0][0].name}"
    if wrong:
        reading.included.problems.append(tree.source.problem(tree.root.offset, "resources", wrong))
        return
    message, node = tables[0]
    manager.route_config.CopyFrom(message)
    if not message.HasField("validate_clusters"):
        manager.route_config.validate_clusters.value = False  # the default of routes that are not static
    packed.value = manager.SerializeToString()
    reading.included.places[f"{path}.route_config"] = Tree(tree.source, node, [])


class _Reading:
    """Reads each file once."""

    def __init__(self, included: Included) -> None:
        self.included = included
        self._read: dict[str, tuple[Tree, list[tuple[Any, Node]]] | None] = {}

    def resources(
        self, file: FileSource, kind: Callable[[], Any], at: str
    ) -> tuple[Tree | None, list[tuple[Any, Node]]]:
        """The resources of a file, which all have to be of this kind, each with where it stands.  None if the file
        cannot be read; `at` is the field that names it."""
        if file.path not in self._read:
            self.included.files.append(file)
            self._read[file.path] = self._parsed(file.path, at)
        parsed = self._read[file.path]
        if parsed is None:
            return None, []
        tree, packed = parsed
        found = []
        for index, (one, node) in enumerate(packed):
            message = kind()
            if one.Unpack(message):
                found.append((message, node))
            else:
                text = f"a {message.DESCRIPTOR.full_name} is expected here, not a {type_name(one.type_url)}"
                self.included.problems.append(tree.source.problem(node.offset, f"resources[{index}]", text))
        return tree, found

    def _parsed(self, path: str, at: str) -> tuple[Tree, list[tuple[Any, Node]]] | None:
        problems = self.included.problems
        try:
            text = Path(path).read_bytes().decode("utf-8")
        except OSError as error:
            problems.append(ConfigProblem(at, f"cannot read {path}: {error.strerror}"))
            return None
        except UnicodeDecodeError as error:
            problems.append(ConfigProblem(at, f"{path} is not UTF-8 text (byte {error.start})"))
            return None
        try:
            tree = parse(text, path)
        except ConfigError as error:
            problems += error.problems
            return None
        response, filler = DiscoveryResponse(), Filler(tree.source)
        filler.fill(response, tree.root)
        if filler.problems:
            problems += filler.problems
            return None
        written = tree.root.get("resources") if isinstance(tree.root, Mapping) else None
        nodes = [] if written is None else flattened(written)
        return tree, [_unwrapped(one, node) for one, node in zip(response.resources, nodes)]


def _unwrapped(packed: Any, node: Node) -> tuple[Any, Node]:
    if not packed.Is(Resource.DESCRIPTOR):
        return packed, node
    inner = node.get("resource") if isinstance(node, Mapping) else None
    return Resource.FromString(packed.value).resource, inner or node
