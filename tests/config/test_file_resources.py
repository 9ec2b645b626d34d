"""Listeners, clusters and routes from files: what is read, and where mistakes are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.config_source import FileSource
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
LISTENER = f"""
    name: {{name}}
    address: {{{{socket_address: {{{{address: 127.0.0.1, port_value: 80}}}}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": {MANAGER}
          stat_prefix: http
          rds:
            route_config_name: routes
            config_source: {{{{path_config_source: {{{{path: {{rds}}}}}}}}}}
          http_filters:
          - name: router
            typed_config: {{{{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}
"""
ROUTES = """
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: routes
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {prefix: /}
      route: {cluster: unknown}
"""
CLUSTERS = """
version_info: "1"
resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: app
  type: STATIC
- "@type": type.googleapis.com/envoy.service.discovery.v3.Resource
  resource:
    "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: wrapped
    type: STATIC
"""


class Files:
    """A bootstrap with a static listener and cluster, and files beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("cds", CLUSTERS)
        self.write("rds", ROUTES)
        listener = LISTENER.format(name="two", rds=directory / "rds").lstrip("\n").lstrip()
        self.write(
            "lds",
            f'resources:\n  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener\n    {listener}',
        )

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def text(self) -> str:
        static = LISTENER.format(name="one", rds=self.directory / "rds").lstrip("\n").lstrip()
        return f"""
dynamic_resources:
  cds_config: {{path_config_source: {{path: {self.directory}/cds, watched_directory: {{path: /}}}}}}
  lds_config: {{path: {self.directory}/lds, resource_api_version: V3, initial_fetch_timeout: 1s}}
static_resources:
  clusters: [{{name: own, type: STATIC}}]
  listeners:
  - {static}
"""

    def problems(self) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            build_bootstrap(load_text(self.text(), "main.yaml"), ServerOptions())
        return [str(problem).replace(f"{self.directory}/", "") for problem in raised.value.problems]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_all_become_one_configuration(files: Files) -> None:
    document = load_text(files.text(), "main.yaml")
    built = build_bootstrap(document, ServerOptions())
    assert [listener.name for listener in built.listeners] == ["one", "two"]
    assert [cluster.name for cluster in built.clusters] == ["own", "app", "wrapped"]
    for listener in built.listeners:
        routes = listener.filter_chain.http_manager.routes
        assert routes.name == "routes"
        assert routes.virtual_hosts[0].routes[0].action.cluster == "unknown"
    directory = str(files.directory)
    assert document.included.files == [
        FileSource(f"{directory}/cds", "/"),
        FileSource(f"{directory}/lds"),
        FileSource(f"{directory}/rds"),
    ]


def test_what_another_process_is_given_needs_no_files(files: Files) -> None:
    message = load_text(files.text()).message
    for file in files.directory.iterdir():
        file.unlink()
    assert len(build_bootstrap(message, ServerOptions()).listeners) == 2


def test_static_routes_may_still_ask_for_known_clusters(files: Files) -> None:
    files.write("rds", ROUTES + "  validate_clusters: true\n")
    assert files.problems()[0].startswith("rds:10:24: ")


def test_mistakes_of_meaning_have_their_place_in_the_file(files: Files) -> None:
    files.write("cds", CLUSTERS.replace("  type: STATIC\n", "  type: STATIC\n  lrs_server: {self: {}}\n", 1))
    assert files.problems() == [
        "cds:7:3: static_resources.clusters[1].lrs_server: is set, but twistproxy does not implement it"
    ]


def test_mistakes_of_form(files: Files) -> None:
    files.write("cds", CLUSTERS.replace("  type: STATIC", "  typ: STATIC", 1))
    files.write("rds", ROUTES.replace("/}", "/, prefixx: /}"))
    assert [problem.partition(";")[0] for problem in files.problems()] == [
        'cds:6:3: resources[0].typ: Cluster has no field "typ"',
        'rds:9:26: resources[0].virtual_hosts[0].routes[0].match.prefixx: RouteMatch has no field "prefixx"',
    ]


def test_constraints(files: Files) -> None:
    files.write("cds", CLUSTERS.replace("name: app", 'name: ""'))
    assert files.problems()[0].startswith("cds:5:9: static_resources.clusters[1].name: ")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("rds", "resources: []", "rds:1:1: resources: Unexpected RDS resource length: 0"),
        (
            "rds",
            ROUTES.replace("name: routes", "name: other"),
            "rds:2:1: resources: Unexpected RDS configuration (expecting routes): other",
        ),
        (
            "cds",
            ROUTES,
            "cds:3:3: resources[0]: a envoy.config.cluster.v3.Cluster is expected here, not a "
            "envoy.config.route.v3.RouteConfiguration",
        ),
        ("lds", "a: [", "lds:1:5: "),
    ],
)
def test_other_files(files: Files, name: str, text: str, expected: str) -> None:
    files.write(name, text)
    assert files.problems()[0].startswith(expected)


def test_no_file(files: Files) -> None:
    (files.directory / "rds").unlink()
    (files.directory / "cds").unlink()
    found = files.problems()
    assert (
        found[0] == "main.yaml:3:3: dynamic_resources.cds_config: cannot read cds: No such file or directory"
    )
    assert "rds.config_source: cannot read rds: No such file or directory" in found[1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "dynamic_resources: {cds_config: {ads: {}}}",
            "main.yaml:1:34: dynamic_resources.cds_config.ads: clusters can come from a file (path_config_source) so "
            "far, not from a control plane",
        ),
        (
            "dynamic_resources: {lds_config: {api_config_source: {api_type: REST}}}",
            "main.yaml:1:34: dynamic_resources.lds_config.api_config_source: listeners can come from a file "
            "(path_config_source) so far, not from a control plane",
        ),
    ],
)
def test_control_planes(source: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build_bootstrap(load_text(source, "main.yaml"), ServerOptions())
    assert [str(problem) for problem in raised.value.problems] == [expected]
