"""How to reach a Kubernetes API server: a kubeconfig, the service account of a pod, or a plain URL.

kubeconfig: kubernetes.io/docs/reference/config-api/kubeconfig.v1.  Service account:
kubernetes.io/docs/tasks/run-application/access-api-from-pod.  Programs that fetch credentials (`exec`,
`auth-provider`) are not run; a kubeconfig that needs one is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from twistproxy.errors import StartError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Pem:
    """PEM text: given, or in a file that is read each time it is needed, because files are rotated."""

    data: bytes = b""
    path: str = ""

    def read(self) -> bytes:
        """The text; raises OSError."""
        return self.data or Path(self.path).read_bytes()


@dataclass(frozen=True, slots=True)
class KubernetesAccess:
    """An API server and who we are.

    url          http or https, with a path prefix where there is one, without a slash at the end
    authority    who signed the server's certificate; None: whom the system trusts
    server_name  the name in the server's certificate; "": the URL's host
    verify       False: the server's certificate is not looked at
    token, token_file  bearer token; the file is read for each request
    """

    url: str
    authority: Pem | None = None
    server_name: str = ""
    verify: bool = True
    certificate: Pem | None = None
    key: Pem | None = None
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""

    def authorization(self) -> str:
        """The Authorization header of the next request, "" for none.  Raises OSError."""
        token = Path(self.token_file).read_text("utf-8").strip() if self.token_file else self.token
        if token:
            return f"Bearer {token}"
        if self.username:
            pair = f"{self.username}:{self.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return ""


def plain_access(url: str) -> KubernetesAccess:
    """A URL without credentials, such as `kubectl proxy` serves.  Raises `StartError`."""
    try:
        return KubernetesAccess(_url(url))
    except _Wrong as e:
        raise StartError(f"--kubernetes: {e}") from None


def in_cluster_access(environ: Mapping[str, str], directory: Path = SERVICE_ACCOUNT) -> KubernetesAccess:
    """From within a pod, by its service account.  Raises `StartError`."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise StartError("not in a Kubernetes cluster: KUBERNETES_SERVICE_HOST is not set")
    token = directory / "token"
    if not token.is_file():
        raise StartError(f"{token}: no service account token")
    return KubernetesAccess(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        authority=Pem(path=str(directory / "ca.crt")),
        token_file=str(token),
    )


def kubeconfig_access(path: Path, context: str = "") -> KubernetesAccess:
    """A context of a kubeconfig; "": its current one.  Raises `StartError` with the file's name."""
    try:
        root = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise StartError(f"{path}: {(e.strerror if isinstance(e, OSError) else None) or e}") from None
    try:
        return _kubeconfig(root, path.parent, context)
    except _Wrong as e:
        raise StartError(f"{path}: {e}") from None


class _Wrong(Exception):
    pass


def _kubeconfig(root: object, directory: Path, context: str) -> KubernetesAccess:
    if not isinstance(root, dict):
        raise _Wrong("not a kubeconfig")
    name = context or root.get("current-context") or ""
    if not name:
        raise _Wrong("no current-context; name one with --context")
    chosen = _named(root, "contexts", name, "context")
    cluster = _named(root, "clusters", chosen.get("cluster", ""), "cluster")
    user = _named(root, "users", chosen["user"], "user") if chosen.get("user") else {}
    for program in ("exec", "auth-provider"):
        if user.get(program) and not (user.get("token") or user.get("tokenFile")):
            raise _Wrong(
                f"user {chosen['user']!r} gets its credentials by {program}: not supported, use a token"
            )
    if cluster.get("proxy-url"):
        raise _Wrong(f"cluster {chosen['cluster']!r}: proxy-url is not supported")
    token_file = user.get("tokenFile", "")
    certificate, key = _pem(user, "client-certificate", directory), _pem(user, "client-key", directory)
    if (certificate is None) != (key is None):
        raise _Wrong(f"user {chosen['user']!r}: client-certificate and client-key go together")
    return KubernetesAccess(
        _url(str(cluster.get("server", ""))),
        authority=_pem(cluster, "certificate-authority", directory),
        server_name=cluster.get("tls-server-name", ""),
        verify=not cluster.get("insecure-skip-tls-verify", False),
        certificate=certificate,
        key=key,
        token="" if token_file else user.get("token", ""),
        token_file=str(directory / token_file) if token_file else "",
        username=user.get("username", ""),
        password=user.get("password", ""),
    )


def _named(root: dict[str, Any], plural: str, name: str, key: str) -> dict[str, Any]:
    """The content of the element called `name` of one of a kubeconfig's lists."""
    for element in root.get(plural) or ():
        if isinstance(element, dict) and element.get("name") == name and isinstance(element.get(key), dict):
            found: dict[str, Any] = element[key]
            return found
    raise _Wrong(f"no {key} {name!r}")


def _pem(owner: dict[str, Any], key: str, directory: Path) -> Pem | None:
    """`<key>-data` in base64, which counts first, or `<key>`, a path relative to the kubeconfig."""
    data = owner.get(f"{key}-data")
    if data:
        try:
            return Pem(data=base64.b64decode(data, validate=True))
        except (binascii.Error, TypeError, ValueError):
            raise _Wrong(f"{key}-data is not base64") from None
    path = owner.get(key)
    return Pem(path=str(directory / path)) if path else None


def _url(url: str) -> str:
    if not url.startswith(("http://", "https://")) or not url.partition("://")[2].strip("/"):
        raise _Wrong(f"an http or https URL of the API server is required, not {url!r}")
    return url.rstrip("/")
