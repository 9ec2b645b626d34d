"""`twistproxy sds`: Envoy's v1 SDS REST API over the services of a Kubernetes cluster or of a file.

`make_sds_service` is what the command runs; nothing here knows the command line that it came from but
`SdsOptions`.
"""

from __future__ import annotations

import os
import random as random_module
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from twistproxy.discovery.file_watch import FileWatcher
from twistproxy.discovery.kubernetes import KubernetesRegistry
from twistproxy.discovery.kubernetes_client import KubernetesClient
from twistproxy.discovery.kubernetes_config import (
    KubernetesAccess,
    in_cluster_access,
    kubeconfig_access,
    plain_access,
)
from twistproxy.discovery.registry_file import FileRegistry
from twistproxy.discovery.registry_server import make_site
from twistproxy.discovery.resolv_conf import is_ip
from twistproxy.errors import StartError

#: Where `kubectl proxy` listens: the source of services if none is named and we are not in a pod.
KUBECTL_PROXY = "http://127.0.0.1:8001"


class SdsOptions(usage.Options):
    """The command line of `twistproxy sds`."""

    synopsis = "Usage: twistproxy sds [--file FILE | --kubernetes URL | --kubeconfig FILE] [options]"
    longdesc = (
        "Serves Envoy's v1 SDS REST API: GET /v1/registration/<service>. Services come from a Kubernetes "
        "API server (in a pod: its service account; else kubectl proxy on 127.0.0.1:8001) or from a file."
    )
    optParameters = [
        [
            "http",
            None,
            "127.0.0.1:8080",
            "Where to listen: [ADDRESS]:PORT, or a Twisted endpoint (tcp:8080).",
        ],
        ["kubernetes", None, None, "API server: a URL such as kubectl proxy's, or in-cluster."],
        ["kubeconfig", None, None, "Take the API server and the credentials from this kubeconfig."],
        ["context", None, None, "Context of the kubeconfig, in place of its current one."],
        ["file", None, None, "Take the services from this YAML file, in place of Kubernetes."],
        ["cluster-domain", None, "svc.cluster.local", "Names are SERVICE.NAMESPACE.<this>."],
    ]

    def postOptions(self) -> None:
        """Raises `usage.UsageError` for what contradicts itself."""
        given = [f"--{name}" for name in ("file", "kubernetes", "kubeconfig") if self[name]]
        if len(given) > 1:
            raise usage.UsageError(f"{' and '.join(given)} exclude each other")
        if self["context"] and (self["file"] or self["kubernetes"]):
            raise usage.UsageError("--context needs a kubeconfig")
        if not self["cluster-domain"].strip("."):
            raise usage.UsageError("--cluster-domain must not be empty")
        listen_description(self["http"])


def listen_description(text: str) -> str:
    """A Twisted endpoint description for `--http`.  Raises `usage.UsageError`."""
    host, colon, port = text.rpartition(":")
    if port.isdigit() and (not colon or not host or host == "localhost" or is_ip(host.strip("[]"))):
        if int(port) > 65535:
            raise usage.UsageError(f"--http: {port} is not a port")
        address = "127.0.0.1" if host == "localhost" else host.strip("[]")
        return f"tcp:{port}:interface={quoteStringArgument(address)}" if address else f"tcp:{port}"
    if ":" not in text or not text.partition(":")[0].isalnum():
        raise usage.UsageError(f"--http: [ADDRESS]:PORT or a Twisted endpoint is required, not {text!r}")
    return text


def kubernetes_access(options: Mapping[str, Any], environ: Mapping[str, str]) -> KubernetesAccess:
    """The API server that the options mean.  Raises `StartError`."""
    if options["kubernetes"] == "in-cluster":
        return in_cluster_access(environ)
    if options["kubernetes"]:
        return plain_access(options["kubernetes"])
    if options["kubeconfig"] or options["context"]:
        usual = environ.get("KUBECONFIG", "").split(os.pathsep)[0] or "~/.kube/config"
        path = Path(options["kubeconfig"] or usual).expanduser()
        return kubeconfig_access(path, options["context"] or "")
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster_access(environ)
    return plain_access(KUBECTL_PROXY)


def make_sds_service(reactor: Any, options: Mapping[str, Any]) -> IService:
    """The server as a service.  `options` is a parsed `SdsOptions`.

    Raises `StartError` here or when the service starts, for all that keeps it from starting.
    """
    log = Logger(namespace="twistproxy.sds")
    registry: Any
    if options["file"]:
        registry = FileRegistry(options["file"], FileWatcher(reactor, log), log)
    else:
        access = kubernetes_access(options, os.environ)
        client = KubernetesClient(reactor, access)
        registry = KubernetesRegistry(reactor, client, options["cluster-domain"], random_module.random, log)
        log.info("services from the Kubernetes API server at {url}", url=access.url)
    service: Any = MultiService()
    registry.setServiceParent(service)
    listener = _Listener(reactor, listen_description(options["http"]), make_site(registry, log))
    listener.setServiceParent(service)  # type: ignore[no-untyped-call]
    return service  # type: ignore[no-any-return]


class _Listener(Service):
    """Listens while it runs; that it cannot is a `StartError`."""

    def __init__(self, reactor: Any, description: str, factory: Any) -> None:
        self._description = description
        self._factory = factory
        try:
            self._endpoint = serverFromString(reactor, description)
        except Exception as e:
            raise StartError(f"--http {description}: {e}") from None
        self._port: Any = None

    def privilegedStartService(self) -> None:
        """Listen, before twistd gives up the right to low ports."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if self._port is None:
            self._listen()

    def startService(self) -> None:
        """Listen, if that has not been done."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._port is None:
            self._listen()

    def stopService(self) -> Deferred[Any] | None:
        """Listen no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._port is None:
            return None
        stopped: Deferred[Any] | None = self._port.stopListening()
        self._port = None
        return stopped

    def _listen(self) -> None:
        failures: list[Failure] = []
        self._endpoint.listen(self._factory).addCallbacks(self._listening, failures.append)
        if failures:
            error = failures[0].value
            reason = error.socketError if isinstance(error, CannotListenError) else error
            raise StartError(
                f"cannot listen on {self._description}: {getattr(reason, 'strerror', None) or reason}"
            )

    def _listening(self, port: Any) -> None:
        self._port = port
