"""Large and many bodies through the real program: memory stays flat, not a byte is lost, on both reactors."""

from __future__ import annotations

import http.client
import random
import re
import shutil
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from program import PATIENCE, Program, cluster, listener

pytestmark = pytest.mark.integration

MIB = 1 << 20
#: Repeated, this is every large body.  A prime length, so that a piece lost or doubled shows.
BLOCK = random.Random(1).randbytes(1_048_573)
#: What a transfer may add to the worker's memory: the buffers of two connections at their limits of 1 MiB each, what
#: libuv has just read, and the allocator's slack.
ALLOWED_GROWTH = 8 * MIB


class Origin(BaseHTTPRequestHandler):
    """GET /N: N bytes.  PUT: reads slowly, answers with count and checksum.  POST: the body back, framed alike."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        size = int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for piece in blocks(size):
            self.wfile.write(piece)

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        checksum = count = 0
        pause = Pauses()
        while left:
            data = self.rfile.read1(min(left, MIB))  # type: ignore[attr-defined]
            if not data:
                return
            checksum = zlib.crc32(data, checksum)
            count += len(data)
            left -= len(data)
            pause.after(len(data))
        self.answer(f"{count} {checksum}".encode())

    def do_POST(self) -> None:
        if self.headers["Transfer-Encoding"] == "chunked":
            body = b"".join(self.chunks())
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 5000):
                piece = body[at : at + 5000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # Small, so that what is read slowly stops the writer soon; accepted sockets inherit it.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        super().server_bind()


class Pauses:
    """Someone who now and then stops reading: at once, and after each eighth of a GiB."""

    def __init__(self) -> None:
        self._due = 0

    def after(self, count: int) -> None:
        self._due -= count
        if self._due < 0:
            self._due = 128 * MIB
            time.sleep(0.25)


def blocks(size: int) -> Iterator[bytes]:
    while size:
        piece = BLOCK[:size]
        size -= len(piece)
        yield piece


def checksum_of(size: int) -> int:
    checksum = 0
    for piece in blocks(size):
        checksum = zlib.crc32(piece, checksum)
    return checksum


class RealProgram(Program):
    """`twistd -n twistproxy` itself, as it is installed beside this interpreter."""

    def command(self, *twistd: str) -> list[str]:
        script = shutil.which("twistd", path=str(Path(sys.executable).parent))
        assert script is not None
        return [script, "-n", "--pidfile=", "twistproxy", "-c", str(self.config), *self.options]

    def resident(self) -> int:
        """Bytes of memory that the worker has in use."""
        status = Path(f"/proc/{self.children()['worker 0']}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) * 1024


@pytest.fixture(scope="module")
def origin() -> Iterator[int]:
    server = Server(("127.0.0.1", 0), Origin)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module", params=["twistproxy", "epoll"])
def program(
    request: pytest.FixtureRequest, origin: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealProgram]:
    running = RealProgram(tmp_path_factory.mktemp(request.param), request.param, concurrency=1)
    upstream = cluster("app")
    endpoint = upstream["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["socket_address"]["port_value"] = origin
    proxy = listener(running.port)
    manager = proxy["filter_chains"][0]["filters"][0]["typed_config"]
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    proxy["filter_chains"] = [
        {"filters": [{"name": "http", "typed_config": {**manager, "route_config": {"virtual_hosts": hosts}}}]}
    ]
    running.write([proxy], [upstream])
    try:
        running.start()
        yield running
        assert "Traceback" not in running.log()
    finally:
        running.clean()


def size_for(program: RealProgram) -> int:
    """A whole GiB where traffic runs; on the other reactor the same rounds of full buffers in a quarter of the time."""
    return 1024 * MIB if "twistproxy" in program.options else 256 * MIB


def peak_growth(program: RealProgram, transfer: Callable[[], None]) -> int:
    """How far the worker's memory grows above what it has after a transfer of the same kind."""
    transfer()
    before = program.resident()
    most = before
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, program.resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        transfer()
    finally:
        over.set()
        watcher.join()
    return most - before


def paused(program: RealProgram) -> int:
    prefix = "cluster.app.upstream_flow_control_"
    return program.stat(f"{prefix}backed_up_total") + program.stat(f"{prefix}paused_reading_total")


def download(program: RealProgram, size: int) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", program.port))
        client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
        pause = Pauses()
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        content = data.partition(b"\r\n\r\n")[2]
        checksum, count = zlib.crc32(content), len(content)
        buffer = bytearray(MIB)
        view = memoryview(buffer)
        while count < size:
            got = client.recv_into(buffer)
            assert got, f"ended after {count} of {size} bytes"
            checksum = zlib.crc32(view[:got], checksum)
            count += got
            pause.after(got)
    assert (count, checksum) == (size, checksum_of(size))


def upload(program: RealProgram, size: int) -> None:
    connection = program.connect()
    try:
        connection.request("PUT", "/", blocks(size), {"Content-Length": str(size)})
        answer = connection.getresponse().read().decode()
    finally:
        connection.close()
    assert answer == f"{size} {checksum_of(size)}"


@pytest.mark.parametrize("transfer", [download, upload], ids=["download", "upload"])
def test_memory_stays_flat(program: RealProgram, transfer: Callable[[RealProgram, int], None]) -> None:
    transfer(program, 32 * MIB)
    size = size_for(program)
    sizes = iter((32 * MIB, size))
    before = paused(program)
    growth = peak_growth(program, lambda: transfer(program, next(sizes)))
    assert growth < ALLOWED_GROWTH
    assert paused(program) > before, "nobody was ever slowed down: the test proves nothing"
    assert program.stat("cluster.app.upstream_rq_active") == 0


def body_sizes(seed: int, count: int) -> list[int]:
    """Mostly small, some large, and those around the sizes of buffers."""
    source = random.Random(seed)
    edges = [0, 1, 1023, 1024, 4095, 4096, 65535, 65536, 65537, 131072, 262143]
    return [
        source.choice(edges) if source.random() < 0.2 else int(source.expovariate(1 / 12000))
        for _ in range(count)
    ]


def test_two_thousand_bodies_each_way(program: RealProgram) -> None:
    source = random.Random(7)
    connections = [program.connect() for _ in range(4)]
    try:
        for size in body_sizes(3, 2000):
            connection = source.choice(connections)
            start = source.randrange(len(BLOCK) - 262144)
            body = BLOCK[start : start + size]
            if source.random() < 0.5:
                connection.request("POST", "/", body, {"Content-Length": str(size)})
            else:
                step = source.choice((100, 3000, 70000)) if size < 20000 else 30000
                pieces = (body[at : at + step] for at in range(0, size, step))
                connection.request("POST", "/", pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            assert connection.getresponse().read() == body
    finally:
        for connection in connections:
            connection.close()
    assert program.stat("cluster.app.upstream_rq_active") == 0


def test_pipelined_requests_come_back_in_order(program: RealProgram) -> None:
    with socket.create_connection(("127.0.0.1", program.port), PATIENCE) as client:
        sizes = body_sizes(11, 300)
        sender = threading.Thread(
            target=client.sendall, args=(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in sizes),)
        )
        sender.start()
        reader = client.makefile("rb")
        for size in sizes:
            assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = http.client.parse_headers(reader)
            assert int(headers["content-length"]) == size
            assert reader.read(size) == BLOCK[:size]
        reader.close()
        sender.join()


def test_client_that_leaves_cancels_its_request(program: RealProgram) -> None:
    with socket.create_connection(("127.0.0.1", program.port), PATIENCE) as client:
        client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % (1024 * MIB))
        assert client.recv(65536)
    deadline = time.monotonic() + PATIENCE
    while program.stat("cluster.app.upstream_rq_active"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_refused_upload_can_be_read_by_a_client_that_writes_first(program: RealProgram) -> None:
    """The answer comes before the upload ends; the client looks for it only when it has sent everything."""
    with socket.create_connection(("127.0.0.1", program.port), PATIENCE) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (4 * MIB))
        for piece in blocks(4 * MIB):
            client.sendall(piece)
        answer = b""
        while data := client.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
