from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import text_format
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from twistproxy.discovery.eds_file import EdsFileDiscovery
from twistproxy.discovery.eds_reader import Assignment, parse_discovery_response
from twistproxy.discovery.file_watch import POLL_INTERVAL, FileWatcher
from twistproxy.model.discovery import EdsFileSource

from .fakes import Log, Updates

TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def assignment(*ports: int, name: str = "app", more: str = "") -> str:
    hosts = "".join(
        f"""
      - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"""
        for port in ports
    )
    return f"""version_info: "1"
resources:
- "@type": {TYPE}
  cluster_name: {name}
  endpoints:
  - lb_endpoints: {"" if hosts else "[]"}{hosts}
{more}"""


def parse(path: Path) -> discovery_pb2.DiscoveryResponse:
    return parse_discovery_response(path.read_bytes(), path.suffix)


class World(Updates):
    def __init__(self, tmp_path: Path, text: str | None, **options: Any) -> None:
        super().__init__("app")
        self.clock = Clock()
        self.log = Log()
        self.path = tmp_path / "eds.yaml"
        if text is not None:
            self.write(text)
        source = EdsFileSource("app", "", str(self.path), **options)
        watcher = FileWatcher(self.clock, self.log.logger, lambda reactor: None)
        self.urgent: list[bool] = []
        self.threads: list[tuple[Callable[[], Assignment], Deferred[Assignment]]] = []
        self.eds = EdsFileDiscovery(
            self.clock, source, watcher, self.updates, self.log.logger, self.in_thread
        )
        self.eds.start()

    def in_thread(self, function: Callable[[], Assignment], urgent: bool) -> Deferred[Assignment]:
        done: Deferred[Assignment] = Deferred()
        self.threads.append((function, done))
        self.urgent.append(urgent)
        return done

    def finish_thread(self) -> None:
        """It has taken a tenth of a second."""
        function, done = self.threads.pop(0)
        maybeDeferred(function).addCallback(lambda found: (self.clock.advance(0.1), found)[1]).chainDeferred(
            done
        )

    def write(self, text: str) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(self.path)

    def replace(self, text: str) -> None:
        self.write(text)
        self.clock.advance(POLL_INTERVAL)


def test_reads_at_start_and_on_change(tmp_path: Path) -> None:
    world = World(tmp_path, assignment(80, 81))
    assert world.addresses == ["127.0.0.1:80", "127.0.0.1:81"]
    world.replace(assignment(81, 82))
    assert world.addresses == ["127.0.0.1:81", "127.0.0.1:82"]
    world.replace(assignment(82, 81))
    assert world.counted() == {"attempt": 3, "success": 3, "no_rebuild": 1}
    world.replace(assignment())
    assert world.addresses == []
    world.eds.stop()
    assert not world.clock.getDelayedCalls()


@pytest.mark.parametrize(
    ("text", "counter", "reason"),
    [
        ("resources: [", "failure", "cannot be read"),
        ("resources: 3", "failure", "cannot be read"),
        ("- 1", "failure", "is not a DiscoveryResponse"),
        ("nonsense: 1", "failure", "nonsense"),
        (assignment(80, name="other"), "rejected", "Unexpected EDS cluster (expecting app): other"),
        (assignment(80).replace("127.0.0.1", "app.test"), "rejected", "malformed IP address: app.test"),
        (assignment(70000), "rejected", "port_value: must be at most 65535"),
        (assignment(80, more="    priority: 129\n"), "rejected", "priority: must be at most 128"),
        (
            assignment(80, more="  policy: {drop_overloads: [{category: x}]}\n"),
            "rejected",
            "drop_overloads: is set, but",
        ),
        (assignment(80) + assignment(81)[assignment(81).index("- ") :], "rejected", "resource length: 2"),
        (
            'resources: [{"@type": type.googleapis.com/envoy.config.core.v3.Locality, zone: z}]',
            "rejected",
            "not a ClusterLoadAssignment",
        ),
        ("version_info: '2'", "empty", "has no ClusterLoadAssignment"),
        ("", "failure", "a mapping is required"),
    ],
)
def test_a_bad_file_keeps_what_there_was(tmp_path: Path, text: str, counter: str, reason: str) -> None:
    world = World(tmp_path, assignment(80))
    world.replace(text)
    assert world.addresses == ["127.0.0.1:80"]
    assert world.counted()[counter] == 1
    assert reason in world.log.lines[-1]
    assert str(world.path) in world.log.lines[-1]
    world.replace(assignment(81))
    assert world.addresses == ["127.0.0.1:81"]


def test_a_missing_file_may_come(tmp_path: Path) -> None:
    world = World(tmp_path, None)
    assert (world.resolved, world.complete, world.counted()["failure"]) == (True, False, 1)
    world.replace(assignment(80))
    assert world.addresses == ["127.0.0.1:80"]


def test_unsupported_fields_may_be_but_a_warning(tmp_path: Path) -> None:
    text = assignment(80, more="  policy: {drop_overloads: [{category: x}]}\n")
    world = World(tmp_path, text, unsupported="warn")
    assert world.addresses == ["127.0.0.1:80"]
    assert "policy" in world.log.lines[0]


def test_every_suffix(tmp_path: Path) -> None:
    yaml = tmp_path / "a.yaml"
    yaml.write_text(assignment(80))
    expected = parse(yaml)
    cla = endpoint_pb2.ClusterLoadAssignment()
    assert expected.resources[0].Unpack(cla)
    assert cla.cluster_name == "app"
    from google.protobuf import json_format

    contents = {
        "a.yml": assignment(80).encode(),
        "a.json": json_format.MessageToJson(expected).encode(),
        "a.conf": json_format.MessageToJson(expected).encode(),
        "a.pb": expected.SerializeToString(),
        "a.pb_text": text_format.MessageToString(expected).encode(),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        assert parse(tmp_path / name) == expected


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.pb", "a.pb_text"])
def test_garbage_is_a_value_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00{{{")
    with pytest.raises(ValueError, match=r"\S"):
        parse(tmp_path / name)


def test_yaml_dates_are_strings(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version_info: 2026-11-22")
    expected = discovery_pb2.DiscoveryResponse(version_info="2026-11-22")
    assert parse(tmp_path / "a.yaml") == expected


def large(*ports: int) -> str:
    return assignment(*ports) + "#" + "x" * 70_000


def test_a_large_file_is_read_in_a_thread(tmp_path: Path) -> None:
    world = World(tmp_path, large(80, 81))
    assert not world.resolved
    world.finish_thread()
    assert world.addresses == ["127.0.0.1:80", "127.0.0.1:81"]


def test_what_comes_while_a_file_is_read_is_read_after_a_rest(tmp_path: Path) -> None:
    world = World(tmp_path, large(80))
    for port in (81, 82, 83):
        world.write(large(port))
        world.eds.read()
    world.finish_thread()
    assert world.addresses == ["127.0.0.1:83"]  # it was read late
    world.write(large(84))
    assert world.threads == []
    world.clock.advance(0.2)
    assert len(world.threads) == 1
    world.finish_thread()
    assert world.addresses == ["127.0.0.1:84"]
    world.clock.advance(0.2)
    assert world.threads == []
    assert world.counted()["attempt"] == 2
    assert world.urgent == [True, False]


def test_a_large_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    world = World(tmp_path, large(80) + "\n]")
    world.finish_thread()
    assert world.counted() == {"attempt": 1, "failure": 1}
    world.eds.stop()
    assert world.clock.getDelayedCalls() == []


def test_a_source_that_has_stopped_publishes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, large(80))
    world.eds.read()
    world.eds.stop()
    world.finish_thread()
    assert world.endpoints == ()
    assert world.threads == []
    assert world.clock.getDelayedCalls() == []


def test_an_assignment_that_gets_stale(tmp_path: Path) -> None:
    text = assignment(80, more="  policy: {endpoint_stale_after: 30s}\n")
    world = World(tmp_path, text)
    world.clock.advance(20.0)
    world.replace(text + "# again\n")
    world.clock.advance(20.0)
    assert world.addresses == ["127.0.0.1:80"]
    world.clock.advance(10.0)
    assert world.addresses == []
    counted = world.counted()
    assert (counted["assignment_timeout_received"], counted["assignment_stale"]) == (2, 1)
    world.replace(assignment(80))
    world.clock.advance(100.0)
    assert world.addresses == ["127.0.0.1:80"]


def test_nothing_gets_stale_after_the_end(tmp_path: Path) -> None:
    world = World(tmp_path, assignment(80, more="  policy: {endpoint_stale_after: 30s}\n"))
    world.eds.stop()
    world.clock.advance(10.0)
    assert world.addresses == ["127.0.0.1:80"]


def test_nothing_of_a_file_that_was_being_read_counts_after_the_end(tmp_path: Path) -> None:
    text = large(80) + "  policy: {endpoint_stale_after: 5s}\n"
    world = World(tmp_path, text)
    world.eds.stop()
    world.finish_thread()
    assert not world.clock.getDelayedCalls()
    assert world.log.lines == []
    world = World(tmp_path, text + "nonsense: 1\n")
    world.eds.stop()
    world.finish_thread()
    assert world.log.lines == []
