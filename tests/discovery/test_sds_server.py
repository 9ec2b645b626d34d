from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IService
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError

from twistproxy.discovery.kubernetes_config import KubernetesAccess
from twistproxy.discovery.sds_server import (
    SdsOptions,
    kubernetes_access,
    listen_description,
    make_sds_service,
)
from twistproxy.errors import StartError


def options(*words: str) -> Any:
    parsed = SdsOptions()
    parsed.parseOptions(list(words))
    return parsed


@pytest.fixture(autouse=True)
def _no_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twistproxy.discovery.file_watch._make_inotify", lambda reactor: None)


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("127.0.0.1:8080", "tcp:8080:interface=127.0.0.1"),
        ("localhost:8080", "tcp:8080:interface=127.0.0.1"),
        ("[::1]:8080", "tcp:8080:interface=\\:\\:1"),
        (":8080", "tcp:8080"),
        ("8080", "tcp:8080"),
        ("tcp:8080", "tcp:8080"),
        ("tcp:8080:interface=10.0.0.1", "tcp:8080:interface=10.0.0.1"),
        ("unix:/run/sds.sock", "unix:/run/sds.sock"),
    ],
)
def test_where_to_listen(text: str, description: str) -> None:
    assert listen_description(text) == description


@pytest.mark.parametrize("text", ["", "host.test:80", "1.2.3.4:70000", "nowhere", "/run/x"])
def test_nowhere_to_listen(text: str) -> None:
    with pytest.raises(UsageError):
        options("--http", text)


@pytest.mark.parametrize(
    "words",
    [
        ["--file", "a", "--kubernetes", "http://b"],
        ["--kubernetes", "in-cluster", "--kubeconfig", "c"],
        ["--file", "a", "--context", "c"],
        ["--cluster-domain", ""],
        ["more"],
    ],
)
def test_contradictions(words: list[str]) -> None:
    with pytest.raises(UsageError):
        options(*words)


def test_defaults_are_the_plugins() -> None:
    parsed = options()
    assert (parsed["http"], parsed["cluster-domain"]) == ("127.0.0.1:8080", "svc.cluster.local")
    assert kubernetes_access(parsed, {}) == KubernetesAccess("http://127.0.0.1:8001")


def test_which_api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kubernetes_access(options("--kubernetes", "http://k:1"), {}).url == "http://k:1"
    with pytest.raises(StartError, match="not in a Kubernetes cluster"):
        kubernetes_access(options("--kubernetes", "in-cluster"), {})
    with pytest.raises(StartError, match="no service account token"):
        kubernetes_access(options(), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    config = tmp_path / "config"
    config.write_text(
        "{contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b, cluster: {server: 'http://k:2'}}]}"
    )
    assert kubernetes_access(options("--kubeconfig", str(config), "--context", "a"), {}).url == "http://k:2"
    environ = {"KUBECONFIG": f"{config}:/other"}
    assert kubernetes_access(options("--context", "a"), environ).url == "http://k:2"


def test_serves_a_file(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text("services: {}")
    reactor = MemoryReactorClock()
    service = make_sds_service(reactor, options("--file", str(path), "--http", ":81"))
    assert IService.providedBy(service)
    service.privilegedStartService()
    service.startService()
    assert [(port, interface) for port, _, _, interface in reactor.tcpServers] == [(81, "")]
    service.stopService()
    assert not reactor.getDelayedCalls()


def test_follows_kubernetes() -> None:
    reactor = MemoryReactorClock()
    service = make_sds_service(reactor, options("--kubernetes", "http://127.0.0.1:8001"))
    service.startService()
    assert [(host, port) for host, port, *_ in reactor.tcpClients] == [("127.0.0.1", 8001)]
    assert len(reactor.tcpServers) == 1
    service.stopService()


def test_a_missing_file_keeps_it_from_starting(tmp_path: Path) -> None:
    service = make_sds_service(MemoryReactorClock(), options("--file", str(tmp_path / "none")))
    with pytest.raises(StartError, match="none: No such file"):
        service.startService()


def test_a_port_in_use_keeps_it_from_starting(tmp_path: Path) -> None:
    class Busy(MemoryReactorClock):
        def listenTCP(self, *args: Any, **options: Any) -> Any:
            raise CannotListenError("", 8080, OSError(98, "Address already in use"))

    (tmp_path / "f").write_text("services: {}")
    service = make_sds_service(Busy(), options("--file", str(tmp_path / "f")))
    with pytest.raises(StartError) as caught:
        service.privilegedStartService()
    assert str(caught.value) == "cannot listen on tcp:8080:interface=127.0.0.1: Address already in use"


def test_an_unknown_kind_of_endpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="--http nonsense:1"):
        make_sds_service(MemoryReactorClock(), options("--file", "f", "--http", "nonsense:1:2"))
