"""The discovery service and the worker's link on real sockets: DNS, files, an HTTP registry, a process that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from discovery_worker import Worker, eventually
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.names import dns, server
from twisted.names.error import DNSNameError
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from twistproxy.discovery import file_watch
from twistproxy.discovery.service import DiscoveryService
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import (
    CaresResolver,
    DiscoverySource,
    DnsSource,
    DnsTarget,
    EdsFileSource,
    V1SdsSource,
)
from twistproxy.model.endpoint import Endpoint, EndpointSet

pytestmark = pytest.mark.integration

LOG = Logger(observer=lambda event: None)


class Zone:
    """A DNS server's resolver: one name, whose answer is a list of addresses or an exception."""

    answer: list[str] | Exception

    def __init__(self) -> None:
        self.answer = []
        self.queries = 0

    def query(self, query: dns.Query, timeout: object = None) -> Deferred[Any]:
        self.queries += 1
        found: Deferred[Any] = Deferred()
        if isinstance(self.answer, Exception):
            found.errback(self.answer)
            return found
        kind = {dns.A: dns.Record_A, dns.AAAA: dns.Record_AAAA}[query.type]
        records = [
            dns.RRHeader(query.name.name, query.type, dns.IN, 1, kind(address, 1))
            for address in self.answer
            if (":" in address) == (query.type == dns.AAAA)
        ]
        found.callback((records, [], []))
        return found


class ShortDatagrams(server.DNSServerFactory):
    """Sends no more than fits into a datagram of the old size, as servers do; Twisted's sends everything."""

    def sendReply(self, protocol: Any, message: dns.Message, address: object) -> None:
        if address is not None and len(message.answers) > 20:
            message.answers, message.trunc = message.answers[:20], 1
        super().sendReply(protocol, message, address)


class Base(TestCase):
    timeout = 60

    def setUp(self) -> None:
        # Not trial's own: a Unix socket's path must be short.
        self.directory = Path(tempfile.mkdtemp(prefix="twistproxy-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.socket = str(self.directory / "discovery.sock")

    def service(self, *sources: DiscoverySource) -> DiscoveryService:
        service = DiscoveryService(reactor, self.socket, LOG)
        service.configure(sources)
        service.startService()
        self.addCleanup(lambda: service.stopService() if service.running else None)
        return service

    def worker(self) -> Worker:
        worker = Worker(self.socket)

        def stop() -> Deferred[None]:
            worker.link.stop()
            return Deferred.fromCoroutine(eventually(lambda: not worker.link.connected))

        self.addCleanup(stop)
        return worker

    def listen(self, factory: Any, interface: str = "127.0.0.1") -> int:
        port = reactor.listenTCP(0, factory, interface=interface)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        temporary = self.directory / f".{name}.new"
        temporary.write_text(text)
        temporary.rename(path)
        return path


def assignment(*ports: int) -> str:
    hosts = ", ".join(
        f"{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}"
        for port in ports
    )
    return (
        'resources: [{"@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, '
        f"cluster_name: app, endpoints: [{{lb_endpoints: [{hosts}]}}]}}]"
    )


class DnsTests(Base):
    def setUp(self) -> None:
        super().setUp()
        self.zone = Zone()
        factory = ShortDatagrams(clients=[self.zone])
        factory.noisy = False
        # The same number for UDP and TCP: a cut answer is asked for again over TCP.
        while True:
            udp = reactor.listenUDP(0, dns.DNSDatagramProtocol(factory), interface="127.0.0.1")
            self.port = udp.getHost().port
            try:
                tcp = reactor.listenTCP(self.port, factory, interface="127.0.0.1")
            except Exception:
                udp.stopListening()
                continue
            break
        self.addCleanup(udp.stopListening)
        self.addCleanup(tcp.stopListening)
        self.addCleanup(lambda: Deferred.fromCoroutine(eventually(lambda: not factory.connections)))

    def source(self, **options: Any) -> DnsSource:
        options = {"refresh_rate": 0.05, "resolver": CaresResolver((("127.0.0.1", self.port),)), **options}
        return DnsSource("app", options.pop("logical", False), (DnsTarget("app.test", 80),), **options)

    async def test_follows_the_record(self) -> None:
        self.zone.answer = ["10.0.0.1"]
        self.service(self.source())
        worker = self.worker()
        await eventually(worker.has("app", "10.0.0.1:80"))
        self.zone.answer = ["10.0.0.2", "10.0.0.3"]
        await eventually(worker.has("app", "10.0.0.2:80", "10.0.0.3:80"))
        self.zone.answer = RuntimeError("SERVFAIL")
        before = self.zone.queries
        await eventually(lambda: self.zone.queries > before + 4)
        assert worker.has("app", "10.0.0.2:80", "10.0.0.3:80")()
        self.zone.answer = DNSNameError()
        await eventually(worker.has("app"))
        self.flushLoggedErrors(RuntimeError)  # the server's own, one for each SERVFAIL

    async def test_families(self) -> None:
        self.zone.answer = ["10.0.0.1", "fd00::1"]
        service = self.service(self.source(family="AUTO"))
        worker = self.worker()
        await eventually(worker.has("app", "[fd00::1]:80"))
        service.configure([self.source(family="ALL")])
        await eventually(worker.has("app", "10.0.0.1:80", "[fd00::1]:80"))
        service.configure([self.source(family="V4_ONLY")])
        await eventually(worker.has("app", "10.0.0.1:80"))

    async def test_logical_keeps_its_address_over_nxdomain(self) -> None:
        self.zone.answer = ["10.0.0.1"]
        service = self.service(self.source(logical=True))
        worker = self.worker()
        await eventually(worker.has("app", "10.0.0.1:80"))
        self.zone.answer = DNSNameError()
        await eventually(lambda: service.snapshot_stats()["counters"]["cluster.app.update_failure"] > 2)
        assert worker.has("app", "10.0.0.1:80")()

    async def test_a_thousand_records(self) -> None:
        self.zone.answer = [f"10.0.{n // 250}.{n % 250}" for n in range(1000)]
        self.service(self.source(family="V4_ONLY"))
        worker = self.worker()
        await eventually(lambda: len(worker.sets.get("app", EndpointSet("app")).endpoints) == 1000)

    async def test_localhost_needs_no_server(self) -> None:
        nobody = CaresResolver((("127.0.0.1", 9),))
        source = DnsSource("app", False, (DnsTarget("localhost", 80),), family="V4_ONLY", resolver=nobody)
        self.service(source)
        await eventually(self.worker().has("app", "127.0.0.1:80"))


class FileTests(Base):
    async def test_a_rename_is_noticed_without_polling(self) -> None:
        self.patch(file_watch, "POLL_INTERVAL", 10_000.0)
        path = self.write("eds.yaml", assignment(80))
        self.service(EdsFileSource("app", "", str(path)))
        worker = self.worker()
        await eventually(worker.has("app", "127.0.0.1:80"))
        self.write("eds.yaml", assignment(81, 82))
        await eventually(worker.has("app", "127.0.0.1:81", "127.0.0.1:82"))
        path.write_text(assignment(83))
        await eventually(worker.has("app", "127.0.0.1:83"), "in place")

    async def test_a_bad_file_is_survived(self) -> None:
        path = self.write("eds.yaml", assignment(80))
        service = self.service(EdsFileSource("app", "", str(path)))
        worker = self.worker()
        await eventually(worker.has("app", "127.0.0.1:80"))
        self.write("eds.yaml", "resources: [")
        await eventually(lambda: service.snapshot_stats()["counters"]["cluster.app.update_failure"] == 1)
        assert worker.has("app", "127.0.0.1:80")()
        self.write("eds.yaml", assignment(81))
        await eventually(worker.has("app", "127.0.0.1:81"))

    async def test_the_directory_is_replaced(self) -> None:
        (self.directory / "d").mkdir()
        path = self.write("eds.yaml", assignment(80)).rename(self.directory / "d" / "eds.yaml")
        self.service(EdsFileSource("app", "", str(path)))
        worker = self.worker()
        await eventually(worker.has("app", "127.0.0.1:80"))
        path.unlink()
        (self.directory / "d").rmdir()
        (self.directory / "e").mkdir()
        (self.directory / "e" / "eds.yaml").write_text(assignment(81))
        (self.directory / "e").rename(self.directory / "d")
        await eventually(worker.has("app", "127.0.0.1:81"))
        (self.directory / "d" / "new").write_text(assignment(82))
        (self.directory / "d" / "new").rename(path)
        await eventually(worker.has("app", "127.0.0.1:82"))


class Registry(Resource):
    """Answers every request with what the test says."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.body = b'{"hosts": []}'
        self.status = 200
        self.requests: list[tuple[bytes, dict[str, str]]] = []

    def render_GET(self, request: Any) -> bytes:
        headers = {k.decode().lower(): v[0].decode() for k, v in request.requestHeaders.getAllRawHeaders()}
        self.requests.append((request.uri, headers))
        request.setResponseCode(self.status)
        return self.body

    def hosts(self, *ports: int) -> None:
        hosts = ", ".join(f'{{"ip_address": "10.0.0.1", "port": {port}}}' for port in ports)
        self.body = f'{{"hosts": [{hosts}]}}'.encode()


class SdsTests(Base):
    def source(self, *addresses: tuple[str, int]) -> V1SdsSource:
        hosts = tuple(Endpoint(TcpAddress(*address)) for address in addresses)
        return V1SdsSource("app", "app.default.svc.cluster.local", 0.05, hosts, "sds_cluster")

    async def test_follows_the_registry(self) -> None:
        registry = Registry()
        registry.hosts(80)
        port = self.listen(Site(registry))
        service = self.service(self.source(("127.0.0.1", port)))
        worker = self.worker()
        await eventually(worker.has("app", "10.0.0.1:80"))
        uri, headers = registry.requests[0]
        assert uri == b"/v1/registration/app.default.svc.cluster.local"
        assert headers["host"] == "sds_cluster"
        assert headers["x-envoy-internal"] == "true"
        assert headers["x-envoy-expected-rq-timeout-ms"] == "1000"
        registry.hosts(81, 82)
        await eventually(worker.has("app", "10.0.0.1:81", "10.0.0.1:82"))
        registry.status = 500
        await eventually(lambda: service.snapshot_stats()["counters"]["cluster.app.update_failure"] > 2)
        assert worker.has("app", "10.0.0.1:81", "10.0.0.1:82")()
        registry.status = 200
        registry.hosts()
        await eventually(worker.has("app"))

    async def test_a_dead_host_and_ipv6(self) -> None:
        registry = Registry()
        registry.hosts(80)
        dead = reactor.listenTCP(0, Site(Registry()), interface="127.0.0.1")
        address = ("127.0.0.1", dead.getHost().port)
        await dead.stopListening()
        self.service(self.source(address, ("::1", self.listen(Site(registry), "::1"))))
        await eventually(self.worker().has("app", "10.0.0.1:80"))


class WorkerTests(Base):
    async def test_late_workers_and_a_service_that_comes_back(self) -> None:
        path = self.write("eds.yaml", assignment(80))
        early = self.worker()
        source = EdsFileSource("app", "", str(path))
        service = self.service(source)
        await eventually(early.has("app", "127.0.0.1:80"))
        late = self.worker()
        await eventually(late.has("app", "127.0.0.1:80"))
        assert os.stat(self.socket).st_mode & 0o777 == 0o600
        await service.stopService()
        assert not os.path.exists(self.socket)
        self.write("eds.yaml", assignment(81))
        self.service(source)
        for worker in (early, late):
            await eventually(worker.has("app", "127.0.0.1:81"))


PROGRAM = """
import sys
from twisted.internet import reactor
from twisted.logger import Logger
from twistproxy.discovery.service import DiscoveryService
from twistproxy.model.discovery import EdsFileSource
service = DiscoveryService(reactor, sys.argv[1], Logger(observer=lambda event: None))
service.configure([EdsFileSource("app", "", sys.argv[2])])
service.startService()
reactor.run()
"""


class KilledTests(Base):
    def spawn(self, path: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, self.socket, str(path)])

        def end() -> None:
            process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    async def test_a_killed_process_takes_nothing_away_and_its_successor_brings_news(self) -> None:
        path = self.write("eds.yaml", assignment(80))
        process = self.spawn(path)
        worker = self.worker()
        await eventually(worker.has("app", "127.0.0.1:80"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        await eventually(lambda: not worker.link.connected)
        assert worker.has("app", "127.0.0.1:80")()
        # The first successor finds a broken file: what the worker has is better than nothing.
        self.write("eds.yaml", "broken: [")
        process = self.spawn(path)
        await eventually(lambda: worker.link.connected)
        await deferLater(reactor, 0.1)
        assert worker.has("app", "127.0.0.1:80")()
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.write("eds.yaml", assignment(81, 82))
        self.spawn(path)
        await eventually(worker.has("app", "127.0.0.1:81", "127.0.0.1:82"))
