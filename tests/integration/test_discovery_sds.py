"""The SDS server on real sockets: a Kubernetes API server of our own, files, and the whole way to a worker."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
import treq
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from discovery_worker import Worker, eventually
from twisted.internet import reactor, ssl
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from twistproxy.discovery.sds_server import SdsOptions, make_sds_service
from twistproxy.discovery.service import DiscoveryService
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import DnsSource, DnsTarget, V1SdsSource
from twistproxy.model.endpoint import Endpoint

pytestmark = pytest.mark.integration

LOG = Logger(observer=lambda event: None)
PATH = b"/api/v1/endpoints"
SLICES = b"/apis/discovery.k8s.io/v1/endpointslices"


def endpoints(name: str, *ips: str, port: int = 80) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "subsets": [
            {
                "addresses": [{"ip": ip} for ip in ips],
                "notReadyAddresses": [{"ip": "10.9.9.9"}],
                "ports": [{"port": port}],
            }
        ],
    }


def endpoint_slice(name: str, service: str, *ips: str, ready: bool = True) -> dict[str, Any]:
    conditions = {"ready": ready, "serving": True, "terminating": not ready}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": conditions} for ip in ips],
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    }


class ApiServer(Resource):
    """Enough of a Kubernetes API server: lists of one kind of objects, in pages, and watches from a version."""

    isLeaf = True

    def __init__(self, path: bytes = PATH) -> None:
        super().__init__()
        self.path = path
        self.version = 10
        self.items: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.oldest = 0
        self.watches: list[Any] = []
        self.lists = 0
        self.watched = 0
        self.authorizations: set[str] = set()
        self.required = ""
        self.page = 2

    def put(self, item: dict[str, Any], kind: str = "MODIFIED") -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        name = item["metadata"]["name"]
        if kind == "DELETED":
            self.items.pop(name)
        else:
            self.items[name] = item
        event = {"type": kind, "object": item}
        self.events.append((self.version, event))
        for request in self.watches:
            self.send(request, event)

    def send(self, request: Any, event: dict[str, Any]) -> None:
        # In two pieces, as networks do.
        data = json.dumps(event).encode() + b"\n"
        request.write(data[:20])
        request.write(data[20:])

    def forget(self) -> None:
        """What etcd's compaction does: watches from before are refused."""
        self.oldest = self.version
        self.events.clear()

    def break_watches(self, *, orderly: bool) -> None:
        watches, self.watches = self.watches, []
        for request in watches:
            if orderly:
                request.finish()
            else:
                request.transport.abortConnection()

    def render_GET(self, request: Any) -> Any:
        authorization = request.getHeader("authorization") or ""
        self.authorizations.add(authorization)
        request.setHeader("content-type", "application/json")
        if self.required and authorization != self.required:
            return self.status(request, 401, "Unauthorized")
        if request.path != self.path:
            return self.status(request, 404, "not found")
        query = {key.decode(): values[0].decode() for key, values in request.args.items()}
        return self.watch(request, query) if "watch" in query else self.list(query)

    def status(self, request: Any, code: int, message: str) -> bytes:
        request.setResponseCode(code)
        return json.dumps({"kind": "Status", "code": code, "message": message}).encode()

    def list(self, query: dict[str, str]) -> bytes:
        self.lists += 1
        names = sorted(self.items)
        start = int(query.get("continue", "0"))
        metadata = {"resourceVersion": str(self.version)}
        if start + self.page < len(names):
            metadata["continue"] = str(start + self.page)
        items = [self.items[name] for name in names[start : start + self.page]]
        return json.dumps({"kind": "EndpointsList", "metadata": metadata, "items": items}).encode()

    def watch(self, request: Any, query: dict[str, str]) -> Any:
        self.watched += 1
        version = int(query["resourceVersion"])
        if version < self.oldest:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
        self.watches.append(request)
        request.notifyFinish().addBoth(lambda _: request in self.watches and self.watches.remove(request))
        request.write(b"")
        for at, event in self.events:
            if at > version:
                self.send(request, event)
        return NOT_DONE_YET


class Base(TestCase):
    timeout = 60

    def setUp(self) -> None:
        # Not trial's own: a Unix socket's path must be short.
        self.directory = Path(tempfile.mkdtemp(prefix="twistproxy-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def listen(self, site: Site, context: Any = None) -> int:
        if context is None:
            port = reactor.listenTCP(0, site, interface="127.0.0.1")
        else:
            port = reactor.listenSSL(0, site, context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def serve(self, *words: str) -> str:
        """Start `twistproxy sds` with these options; returns its URL."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        options = SdsOptions()
        options.parseOptions([*words, "--http", f"127.0.0.1:{port}"])
        service: Any = make_sds_service(reactor, options)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.sds_port = port
        return f"http://127.0.0.1:{port}"

    async def ask(self, url: str, service: str) -> Any:
        """The answer as address:port strings, or its status."""
        response = await treq.get(f"{url}/v1/registration/{service}", persistent=False, reactor=reactor)
        body = await treq.content(response)
        if response.code != 200:
            return response.code
        return [f"{host['ip_address']}:{host['port']}" for host in json.loads(body)["hosts"]]

    async def becomes(self, url: str, service: str, expected: Any) -> None:
        for _ in range(500):
            found = await self.ask(url, f"{service}.default.svc.cluster.local")
            if found == expected:
                return
            await pause()
        raise AssertionError(f"{service} is {found}, not {expected}")


async def pause() -> None:
    await deferLater(reactor, 0.02)


class SliceTests(Base):
    async def test_slices_are_listed_and_watched(self) -> None:
        api = ApiServer(SLICES)
        for number in range(3):
            api.put(endpoint_slice(f"app-{number}", "app", f"10.0.{number}.1"))
        url = self.serve("--kubernetes", f"http://127.0.0.1:{self.listen(Site(api))}")
        await self.becomes(url, "app", ["10.0.0.1:80", "10.0.1.1:80", "10.0.2.1:80"])
        api.put(endpoint_slice("app-1", "app", "10.0.1.1", ready=False))
        await self.becomes(url, "app", ["10.0.0.1:80", "10.0.2.1:80"])
        api.put(endpoint_slice("app-2", "app"), "DELETED")
        api.put(endpoint_slice("app-0", "app"))
        # The last one is on its way out, and still answers.
        await self.becomes(url, "app", ["10.0.1.1:80"])


class KubernetesTests(Base):
    def setUp(self) -> None:
        super().setUp()
        self.api = ApiServer()
        self.api.put(endpoints("app", "10.0.0.1", "10.0.0.2"))
        for name in "abc":
            self.api.put(endpoints(name, "10.0.1.1"))
        self.api_port = self.listen(Site(self.api))
        self.addCleanup(lambda: self.api.break_watches(orderly=False))

    def serve_kubernetes(self) -> str:
        return self.serve("--kubernetes", f"http://127.0.0.1:{self.api_port}")

    async def test_answers_cost_no_request_and_follow(self) -> None:
        url = self.serve_kubernetes()
        await self.becomes(url, "app", ["10.0.0.1:80", "10.0.0.2:80"])
        assert await self.ask(url, "c.default.svc.cluster.local") == ["10.0.1.1:80"]
        assert await self.ask(url, "none.default.svc.cluster.local") == []
        assert await self.ask(url, "app.default") == 400
        self.api.put(endpoints("app", "10.0.0.3"))
        await self.becomes(url, "app", ["10.0.0.3:80"])
        self.api.put(endpoints("app"), "DELETED")
        await self.becomes(url, "app", [])
        assert (self.api.lists, self.api.watched) == (2, 1)  # two pages

    async def test_a_watch_that_ends_or_breaks_is_resumed(self) -> None:
        url = self.serve_kubernetes()
        await self.becomes(url, "app", ["10.0.0.1:80", "10.0.0.2:80"])
        await eventually(lambda: bool(self.api.watches))
        for number, orderly in enumerate([True, False, True], 3):
            self.api.break_watches(orderly=orderly)
            self.api.put(endpoints("app", f"10.0.0.{number}"))
            await self.becomes(url, "app", [f"10.0.0.{number}:80"])
            await eventually(lambda: bool(self.api.watches))
        assert self.api.lists == 2

    async def test_an_expired_version_is_listed_anew(self) -> None:
        url = self.serve_kubernetes()
        await self.becomes(url, "app", ["10.0.0.1:80", "10.0.0.2:80"])
        await eventually(lambda: bool(self.api.watches))
        watches, self.api.watches = self.api.watches, []
        self.api.put(endpoints("a"), "DELETED")
        self.api.put(endpoints("app", "10.0.0.7"))
        self.api.forget()
        self.api.watches = watches
        self.api.break_watches(orderly=True)
        await self.becomes(url, "app", ["10.0.0.7:80"])
        assert await self.ask(url, "a.default.svc.cluster.local") == []
        assert self.api.lists == 4

    async def test_not_known_yet(self) -> None:
        self.api.required = "Bearer secret"
        url = self.serve_kubernetes()
        assert await self.ask(url, "app.default.svc.cluster.local") == 503
        response = await treq.get(f"{url}/healthz", persistent=False, reactor=reactor)
        assert response.code == 503
        self.api.required = ""
        await self.becomes(url, "app", ["10.0.0.1:80", "10.0.0.2:80"])
        response = await treq.get(f"{url}/healthz", persistent=False, reactor=reactor)
        assert (response.code, await treq.content(response)) == (200, b"ok\n")


class Authority:
    """A certificate authority for one test."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.sign(self.name, self.key.public_key(), None)
        self.path = directory / f"{name}.crt"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, subject: x509.Name, key: Any, host: str | None) -> x509.Certificate:
        day = datetime.timedelta(days=1)
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, host: str) -> tuple[Path, Path]:
        """The files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self.directory / f"{host}.crt"
        certificate.write_bytes(
            self.sign(subject, key.public_key(), host).public_bytes(serialization.Encoding.PEM)
        )
        path = self.directory / f"{host}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, path


class KubeconfigTests(Base):
    """HTTPS with client certificates, as a kubeconfig asks for it."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.directory, "authority")
        self.certificate, self.key = self.authority.issue("kubernetes.test")
        self.client = self.authority.issue("client.test")
        self.api = ApiServer()
        self.api.required = "Bearer first"
        self.api.put(endpoints("app", "10.0.0.1"))
        own = ssl.PrivateCertificate.loadPEM(self.certificate.read_bytes() + self.key.read_bytes())
        trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(self.authority.path.read_bytes())])
        context = ssl.CertificateOptions(
            privateKey=own.privateKey.original, certificate=own.original, trustRoot=trust
        )
        self.port = self.listen(Site(self.api), context)
        self.addCleanup(lambda: self.api.break_watches(orderly=False))
        (self.directory / "token").write_text("first\n")

    def config(self, **cluster: Any) -> str:
        server = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority": "authority.crt",
            "tls-server-name": "kubernetes.test",
            **cluster,
        }
        user = {
            "client-certificate": "client.test.crt",
            "client-key": "client.test.key",
            "tokenFile": "token",
        }
        path = self.directory / "config"
        path.write_text(
            yaml.safe_dump(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "clusters": [{"name": "c", "cluster": {k: v for k, v in server.items() if v}}],
                    "users": [{"name": "u", "user": user}],
                }
            )
        )
        return str(path)

    async def test_certificates_and_a_token_that_is_rotated(self) -> None:
        url = self.serve("--kubeconfig", self.config())
        await self.becomes(url, "app", ["10.0.0.1:80"])
        await eventually(lambda: bool(self.api.watches))
        (self.directory / "token").write_text("second\n")
        self.api.required = "Bearer second"
        self.api.break_watches(orderly=False)
        self.api.put(endpoints("app", "10.0.0.2"))
        await self.becomes(url, "app", ["10.0.0.2:80"])
        assert self.api.authorizations == {"Bearer first", "Bearer second"}

    async def test_skipping_verification(self) -> None:
        options = {"insecure-skip-tls-verify": True, "certificate-authority": None, "tls-server-name": None}
        url = self.serve("--kubeconfig", self.config(**options))
        await self.becomes(url, "app", ["10.0.0.1:80"])

    async def test_a_server_that_nobody_vouches_for_is_not_asked(self) -> None:
        other = Authority(self.directory, "other")
        url = self.serve("--kubeconfig", self.config(**{"certificate-authority": str(other.path)}))
        wrong = self.serve("--kubeconfig", self.config(**{"tls-server-name": "other.test"}))
        for _ in range(20):
            await pause()
        assert await self.ask(url, "app.default.svc.cluster.local") == 503
        assert await self.ask(wrong, "app.default.svc.cluster.local") == 503
        assert not self.api.authorizations


class WholeWayTests(Base):
    async def test_from_a_file_to_a_worker(self) -> None:
        path = self.directory / "services.yaml"

        def write(*hosts: str) -> None:
            temporary = self.directory / ".new"
            temporary.write_text(yaml.safe_dump({"services": {"app": list(hosts)}}))
            temporary.rename(path)

        write("10.0.0.1:80")
        self.serve("--file", str(path))
        path_of_socket = str(self.directory / "discovery.sock")
        discovery = DiscoveryService(reactor, path_of_socket, LOG)
        hosts = DnsSource("sds", True, (DnsTarget("localhost", self.sds_port),), family="V4_ONLY")
        fixed = (Endpoint(TcpAddress("127.0.0.1", self.sds_port)),)
        discovery.configure(
            [V1SdsSource("app", "app", 0.05, hosts, "sds"), V1SdsSource("empty", "none", 0.05, fixed, "sds")]
        )
        discovery.startService()
        self.addCleanup(discovery.stopService)
        worker = Worker(path_of_socket)
        try:
            await eventually(worker.has("app", "10.0.0.1:80"))
            await eventually(worker.has("empty"))
            write("10.0.0.2:80", "10.0.0.3:81")
            await eventually(worker.has("app", "10.0.0.2:80", "10.0.0.3:81"))
            path.write_text("services: [")
            await pause()
            assert worker.has("app", "10.0.0.2:80", "10.0.0.3:81")()
            write()
            await eventually(worker.has("app"))
        finally:
            worker.link.stop()
            await eventually(lambda: not worker.link.connected)
