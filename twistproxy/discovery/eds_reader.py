"""Reads the file of an EDS cluster, again and again.

A file of 10,000 endpoints takes protobuf and our own checks more than a second, and of one version to the next little
changes.  So the endpoints of a locality are taken out before the rest is read as any message is, and each is looked up
by its bytes among those of the version before; only what is not found there is built.  Of JSON, what is as it was is
not even parsed (`discovery.eds_text`).  Whatever is not plain on this way (a problem, a field that nothing implements,
a name written in its other spelling) is read once more as a whole, which says what is wrong, and where.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format, text_format
from google.protobuf.message import DecodeError

from twistproxy.config.fields import Reader, Report
from twistproxy.discovery.eds_text import EndpointTexts, NotPlain
from twistproxy.discovery.load_assignment import Group, ReadEndpoints, read_endpoint, read_load_assignment
from twistproxy.errors import ConfigError, ConfigProblem
from twistproxy.model.discovery import EdsFileSource
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a file says.

    endpoints  None if it has no ClusterLoadAssignment
    policy     what it says of all of them
    stale_after  seconds for which it counts, 0 for ever
    unread     what it sets that nothing implements, where that is only to be logged
    """

    endpoints: tuple[Endpoint, ...] | None
    policy: AssignmentPolicy | None = None
    stale_after: float = 0.0
    unread: tuple[ConfigProblem, ...] = ()


#: What the quick way makes of what it does not understand.
_DOUBTS = (
    AttributeError,
    DecodeError,
    KeyError,
    TypeError,
    ValueError,
    json_format.Error,
    yaml.YAMLError,
)


#: The endpoints of a locality, each with its bytes.
_Members = list[tuple[bytes, Any]]


class EdsReader:
    """The reader of one source's file.  It remembers the endpoints of the version that it has read last."""

    def __init__(self, source: EdsFileSource) -> None:
        self._source = source
        self._path = Path(source.path)
        self._name = source.service_name or source.cluster
        # Endpoints by their bytes.
        self._known: dict[Group, dict[bytes, Endpoint]] = {}
        self._texts: EndpointTexts | None = None

    def read(self) -> Assignment:
        """The file as it is now.  OSError or ValueError if it cannot be read, ConfigError if it cannot be used."""
        data = self._path.read_bytes()
        suffix = self._path.suffix
        try:
            if suffix == ".pb":
                return self._binary(data)
            if suffix in (".yaml", ".yml"):
                return self._yaml(yaml.load(data, _StringDates))
            if suffix != ".pb_text":
                return self._json(data.decode())
        except _DOUBTS:
            pass
        return self._whole(parse_discovery_response(data, suffix))

    def _binary(self, data: bytes) -> Assignment:
        """From protobuf's own format."""
        assignment = _only_assignment(discovery_pb2.DiscoveryResponse.FromString(data))
        members: list[_Members] = []
        for locality in assignment.endpoints:
            members.append([(one.SerializeToString(), one) for one in locality.lb_endpoints])
            locality.ClearField("lb_endpoints")
        return self._looked_up(assignment, members, _build)

    def _yaml(self, content: Any) -> Assignment:
        """From what YAML has in it."""
        assignment, lists = _without_endpoints(content)
        # Version 2: later ones write an object that they have met before in another way.
        members = [[(marshal.dumps(one, 2), one) for one in found] for found in lists]
        return self._looked_up(assignment, members, _build_json)

    def _json(self, text: str) -> Assignment:
        texts = EndpointTexts(self._texts)
        assignment, lists = _without_endpoints(texts.parse(text))
        # What is not a list of the text is one whose name is written in another way.
        numbers = [found[0] for found in lists if found]
        if numbers != list(range(texts.count)):
            raise NotPlain
        lists_left = iter(lists)

        def endpoints(_: Reader, group: Group) -> list[Endpoint]:
            found = next(lists_left)
            return texts.make(found[0], group, _build_json) if found else []

        assigned = self._assignment(assignment, endpoints)
        texts.settle()
        self._texts = texts
        return assigned

    def _looked_up(
        self,
        assignment: endpoint_pb2.ClusterLoadAssignment,
        members: list[_Members],
        build: Callable[[Any, Group], Endpoint],
    ) -> Assignment:
        """`assignment` without its endpoints, which are `members`, locality by locality."""
        known: dict[Group, dict[bytes, Endpoint]] = {}
        rest = iter(members)

        def endpoints(_: Reader, group: Group) -> list[Endpoint]:
            before = self._known.get(group, {})
            now = known.setdefault(group, {})
            found = []
            for key, one in next(rest):
                now[key] = endpoint = before.get(key) or build(one, group)
                found.append(endpoint)
            return found

        assigned = self._assignment(assignment, endpoints)
        self._known = known
        return assigned

    def _assignment(
        self, assignment: endpoint_pb2.ClusterLoadAssignment, endpoints: ReadEndpoints
    ) -> Assignment:
        found = read_load_assignment(assignment, self._name, endpoints)
        if found.problems or found.unread:
            raise NotPlain
        return Assignment(found.endpoints, found.policy, found.stale_after)

    def _whole(self, response: discovery_pb2.DiscoveryResponse) -> Assignment:
        if not response.resources:
            return Assignment(None)
        if len(response.resources) > 1:
            # Envoy's words (eds.cc).
            raise _error(f"Unexpected EDS resource length: {len(response.resources)}")
        assignment = endpoint_pb2.ClusterLoadAssignment()
        try:
            if not response.resources[0].Unpack(assignment):
                raise _error(f"is {response.resources[0].type_url!r}, not a ClusterLoadAssignment")
        except DecodeError as e:
            raise _error(str(e)) from None
        found = read_load_assignment(assignment, self._name)
        problems, unread = found.problems, found.unread
        if self._source.unsupported == "error":
            problems = problems + unread
            unread = []
        if problems:
            raise ConfigError(problems)
        return Assignment(found.endpoints, found.policy, found.stale_after, tuple(unread))


def parse_discovery_response(data: bytes, suffix: str) -> discovery_pb2.DiscoveryResponse:
    """Reads a file's content as Envoy does, by the file's suffix: .pb binary, .pb_text text format, .yaml and .yml
    YAML, else JSON.

    Raises ValueError.
    """
    response = discovery_pb2.DiscoveryResponse()
    try:
        match suffix:
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


def _without_endpoints(content: Any) -> tuple[endpoint_pb2.ClusterLoadAssignment, list[list[Any]]]:
    """The message of what JSON or YAML have in them, but for the endpoints: those of each locality are beside it."""
    (resource,) = content["resources"]
    lists: list[list[Any]] = []
    localities = []
    for locality in resource.get("endpoints", ()):
        bare = dict(locality)
        found = bare.pop("lb_endpoints", [])
        if not isinstance(found, list) or "lbEndpoints" in bare:
            raise NotPlain
        lists.append(found)
        localities.append(bare)
    response = discovery_pb2.DiscoveryResponse()
    json_format.ParseDict({**content, "resources": [{**resource, "endpoints": localities}]}, response)
    return _only_assignment(response), lists


def _only_assignment(response: discovery_pb2.DiscoveryResponse) -> endpoint_pb2.ClusterLoadAssignment:
    assignment = endpoint_pb2.ClusterLoadAssignment()
    if len(response.resources) != 1 or not response.resources[0].Unpack(assignment):
        raise NotPlain
    return assignment


def _build(message: endpoint_components_pb2.LbEndpoint, group: Group) -> Endpoint:
    report = Report()
    reader = Reader(message, report)
    endpoint = read_endpoint(reader, group)
    if endpoint is None or report.problems or report.unread(reader):
        raise NotPlain
    return endpoint


def _build_json(value: Any, group: Group) -> Endpoint:
    message = endpoint_components_pb2.LbEndpoint()
    json_format.ParseDict(value, message)
    return _build(message, group)


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StringDates(_Loader):
    """YAML as protobuf's JSON mapping wants it: what looks like a date is a string."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Loader.yaml_implicit_resolvers.items()
    }


def _error(message: str) -> ConfigError:
    return ConfigError([ConfigProblem("resources[0]", message)])
