from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from twistproxy.discovery.kubernetes_config import (
    KubernetesAccess,
    Pem,
    in_cluster_access,
    kubeconfig_access,
    plain_access,
)
from twistproxy.errors import StartError


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CONFIG: dict[str, Any] = {
    "current-context": "one",
    "contexts": [
        {"name": "one", "context": {"cluster": "c1", "user": "u1"}},
        {"name": "two", "context": {"cluster": "c2", "user": "u2"}},
        {"name": "nobody", "context": {"cluster": "c2"}},
        {"name": "program", "context": {"cluster": "c2", "user": "exec"}},
        {"name": "half", "context": {"cluster": "c2", "user": "half"}},
        {"name": "lost", "context": {"cluster": "none", "user": "u1"}},
        {"name": "proxied", "context": {"cluster": "proxied"}},
        {"name": "relative", "context": {"cluster": "relative"}},
        {"name": "garbage", "context": {"cluster": "garbage"}},
    ],
    "clusters": [
        {
            "name": "c1",
            "cluster": {
                "server": "https://k8s.test:6443/",
                "certificate-authority-data": b64("CA"),
                "tls-server-name": "kubernetes",
            },
        },
        {"name": "c2", "cluster": {"server": "https://10.0.0.1", "insecure-skip-tls-verify": True}},
        {"name": "proxied", "cluster": {"server": "https://10.0.0.1", "proxy-url": "http://p"}},
        {"name": "relative", "cluster": {"server": "https://10.0.0.1", "certificate-authority": "ca.crt"}},
        {"name": "garbage", "cluster": {"server": "https://10.0.0.1", "certificate-authority-data": "*"}},
    ],
    "users": [
        {"name": "u1", "user": {"client-certificate-data": b64("CERT"), "client-key": "key.pem"}},
        {"name": "u2", "user": {"token": "secret"}},
        {"name": "exec", "user": {"exec": {"command": "aws"}}},
        {"name": "half", "user": {"client-certificate-data": b64("CERT")}},
    ],
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


def test_current_context(config: Path) -> None:
    assert kubeconfig_access(config) == KubernetesAccess(
        "https://k8s.test:6443",
        authority=Pem(b"CA"),
        server_name="kubernetes",
        certificate=Pem(b"CERT"),
        key=Pem(path=str(config.parent / "key.pem")),
    )


def test_another_context(config: Path) -> None:
    access = kubeconfig_access(config, "two")
    assert access == KubernetesAccess("https://10.0.0.1", verify=False, token="secret")
    assert access.authorization() == "Bearer secret"
    assert kubeconfig_access(config, "nobody").authorization() == ""


def test_paths_are_relative_to_the_file(config: Path) -> None:
    (config.parent / "ca.crt").write_text("X")
    authority = kubeconfig_access(config, "relative").authority
    assert authority is not None
    assert authority.read() == b"X"


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ("three", "no context 'three'"),
        ("lost", "no cluster 'none'"),
        ("program", "user 'exec' gets its credentials by exec"),
        ("half", "client-certificate and client-key go together"),
        ("proxied", "proxy-url is not supported"),
        ("garbage", "certificate-authority-data is not base64"),
    ],
)
def test_problems(config: Path, context: str, problem: str) -> None:
    with pytest.raises(StartError) as caught:
        kubeconfig_access(config, context)
    assert str(caught.value).startswith(f"{config}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "expected"),
        ("3", "not a kubeconfig"),
        ("{}", "no current-context"),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: b}}], "
            "clusters: [{name: b, cluster: {server: k8s}}]}",
            "an http or https URL",
        ),
    ],
)
def test_bad_files(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(StartError, match=problem):
        kubeconfig_access(tmp_path / "config")
    with pytest.raises(StartError, match="No such file"):
        kubeconfig_access(tmp_path / "none")


def test_in_cluster_reads_the_token_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    access = in_cluster_access(environ, tmp_path)
    assert access.url == "https://10.96.0.1:6443"
    assert access.authority == Pem(path=str(tmp_path / "ca.crt"))
    assert access.authorization() == "Bearer first"
    (tmp_path / "token").write_text("second\n")
    assert access.authorization() == "Bearer second"


def test_in_cluster_ipv6(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    assert in_cluster_access({"KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path).url == "https://[fd00::1]:443"


def test_not_in_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="not in a Kubernetes cluster"):
        in_cluster_access({}, tmp_path)
    with pytest.raises(StartError, match="no service account token"):
        in_cluster_access({"KUBERNETES_SERVICE_HOST": "h"}, tmp_path)


def test_plain() -> None:
    assert plain_access("http://127.0.0.1:8001/") == KubernetesAccess("http://127.0.0.1:8001")
    for url in ("127.0.0.1:8001", "ftp://x", "http://", ""):
        with pytest.raises(StartError, match="--kubernetes: an http or https URL"):
            plain_access(url)


def test_basic_authentication() -> None:
    access = KubernetesAccess("http://x", username="u", password="p")
    assert access.authorization() == "Basic " + b64("u:p")
