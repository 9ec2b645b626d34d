"""Run in a network namespace of its own: connections that the firewall redirects to an engine.

`python redirected.py ENGINE WORKERS DIRECTORY` prints what was reached, as JSON: (listener, port) → answer.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parents[1]))

from tests.parity.harness import Proxy
from tests.parity.settings import Config, access_log, answering, bootstrap, cluster, listener, routes_to
from tests.parity.test_original_dst import ORIGINAL_DST, original

#: Whose connections are redirected: not the engine's own.
CLIENT = 65534


def redirect(port: int, to: int) -> None:
    rule = f"-A OUTPUT -p tcp --dport {port} -m owner --uid-owner {CLIENT} -j REDIRECT --to-ports {to}"
    subprocess.run(["iptables", "-t", "nat", *rule.split()], check=True)


def configure(proxy: Proxy) -> Config:
    filters = [{"name": "original_dst", "typed_config": {"@type": ORIGINAL_DST}}]
    log = {"access_log": [access_log(proxy.log().path, "%DOWNSTREAM_LOCAL_ADDRESS%\n")]}
    restoring = listener("restoring", proxy.port("restoring"), routes_to("original"), **log)
    handing_off = listener("handing_off", proxy.port("handing_off"), routes_to("original"))
    plain = listener("plain", proxy.port("plain"), routes_to("original"))
    unbound = listener("unbound", proxy.port("unbound"), [answering("unbound", "*")])
    anywhere = listener("anywhere", proxy.port("anywhere"), [answering("anywhere", "*")])
    anywhere["address"]["socket_address"]["address"] = "0.0.0.0"
    unbound["bind_to_port"] = anywhere["bind_to_port"] = False
    return bootstrap(
        proxy.port("admin"),
        [
            restoring | {"listener_filters": filters},
            handing_off | {"use_original_dst": True},
            plain,
            unbound,
            anywhere,
        ],
        [original("original"), cluster("unused", 1)],
    )


def ask(port: int) -> str:
    """As the client whose connections are redirected."""
    os.seteuid(CLIENT)
    try:
        with socket.create_connection(("127.0.0.1", port), 3) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            answer = b""
            while data := sock.recv(65536):
                answer += data
    finally:
        os.seteuid(0)
    head, _, body = answer.partition(b"\r\n\r\n")
    return f"{head.split()[1].decode()} {body.decode()}"


def main(engine: str, workers: int, directory: Path) -> dict[str, object]:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    proxy = Proxy(engine, directory, workers)
    try:
        proxy.start(configure(proxy))
        ports = {
            "origin": proxy.origin().port,
            "unbound": proxy.port("unbound"),
            "anywhere": proxy.port("anywhere"),
        }
        found: dict[str, object] = {}
        for name in ("restoring", "handing_off", "plain"):
            for target, port in ports.items():
                subprocess.run(["iptables", "-t", "nat", "-F"], check=True)
                redirect(port, proxy.port(name))
                found[f"{name} {target}"] = ask(port)
        proxy.log().line(f":{ports['origin']}")
        found["restored in the log"] = len(proxy.log().lines())
        for name in ("unbound", "anywhere", "handing_off"):
            found[f"connections of {name}"] = sum(
                value
                for stat, value in proxy.stats("^listener.*downstream_cx_total$").items()
                if stat.endswith(f"_{proxy.port(name)}.downstream_cx_total")
            )
        found["hosts"] = proxy.stat("cluster.original.membership_total")
        return found
    finally:
        proxy.stop()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
