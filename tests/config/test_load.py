"""Bootstrap messages from text: everything that is wrong at once, each thing at its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.config.load import Document, load_bootstrap, load_text
from twistproxy.errors import ConfigError, ConfigProblem

from .v1_samples import SIDECAR

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def problems(text: str, name: str = "c.yaml") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, name)
    return [str(problem) for problem in caught.value.problems]


def one_problem(text: str, name: str = "c.yaml") -> str:
    (found,) = problems(text, name)
    return found


def cluster_problem(line: str) -> str:
    text = f"static_resources:\n  clusters:\n  - name: a\n    {line}\n"
    found = one_problem(text)
    place, _, rest = found.partition(": static_resources.clusters[0].")
    assert place.startswith("c.yaml:4:"), found
    return f"{place.removeprefix('c.yaml:4:')} {rest}"


def as_dict(document: Document) -> object:
    return json_format.MessageToDict(document.message, preserving_proto_field_name=True)


def test_a_bootstrap() -> None:
    document = load_text(
        "node: {id: me}\nstaticResources: {clusters: [{name: a, connectTimeout: 0.25s}]}\n", "c.yaml"
    )
    assert document.format == "v3"
    assert document.warnings == []
    assert as_dict(document) == {
        "node": {"id": "me"},
        "static_resources": {"clusters": [{"name": "a", "connect_timeout": "0.250s"}]},
    }


def test_all_problems_come_at_once_in_the_order_of_the_text() -> None:
    text = """\
static_resources:
  listeners:
  - name: y
    addres: {}
  clusters:
  - name: a
    connect_timeout: 5ms
    lb_policy: ROUNDROBIN
  - name: ""
"""
    assert problems(text) == [
        "c.yaml:3:11: static_resources.listeners[0].name: expected text, found the boolean true; "
        "unquoted, y is not text in YAML: put it in quotes",
        'c.yaml:4:5: static_resources.listeners[0].addres: Listener has no field "addres"; did you mean "address"?',
        "c.yaml:7:22: static_resources.clusters[0].connect_timeout: expected a duration in seconds such as "
        '"0.25s", found the text \'5ms\'; did you mean "0.005s"?',
        "c.yaml:8:16: static_resources.clusters[0].lb_policy: expected one of ROUND_ROBIN, LEAST_REQUEST, "
        "RING_HASH, RANDOM, MAGLEV, CLUSTER_PROVIDED, LOAD_BALANCING_POLICY_CONFIG, found the text "
        "'ROUNDROBIN'; did you mean \"ROUND_ROBIN\"?",
        "c.yaml:9:11: static_resources.clusters[1].name: must not be empty",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("connect_timeout: 5", '22 connect_timeout: expected a duration in seconds such as "0.25s", '
         'found the number 5; did you mean "5s"?'),
        ("connect_timeout: 2 min", '22 connect_timeout: expected a duration in seconds such as "0.25s", '
         "found the text '2 min'; did you mean \"120s\"?"),
        ("per_connection_buffer_limit_bytes: [1]", "40 per_connection_buffer_limit_bytes: "
         "expected a whole number from 0 to 4294967295, found a list"),
        ("per_connection_buffer_limit_bytes: 1.5", "40 per_connection_buffer_limit_bytes: "
         "expected a whole number from 0 to 4294967295, found the text '1.5'"),
        ("respect_dns_ttl: 1", "22 respect_dns_ttl: expected true or false, found the number 1"),
        ("respect_dns_ttl: {}", "22 respect_dns_ttl: expected true or false, found a mapping"),
        ("common_lb_config: 5", "23 common_lb_config: expected a mapping (CommonLbConfig), found the number 5"),
        ("hosts: []", '5 hosts: "hosts" was a field of Cluster in earlier versions of the Envoy API'),
        ("idle_timeout: 1s", '5 idle_timeout: Cluster has no field "idle_timeout"; '
         'did you mean "common_http_protocol_options.idle_timeout"?'),
        ("cleanup_interval: 0s", "23 cleanup_interval: must be more than 0s, is 0s"),
        ("outlier_detection: {max_ejection_percent: 101}",
         "47 outlier_detection.max_ejection_percent: must be at most 100, is 101"),
        ("upstream_config: {name: x, typed_config: {value: 3}}",
         '46 upstream_config.typed_config: "@type" is missing: it names the type of this message (which has value)'),
        ("upstream_config: {name: x, typed_config: {'@type': envoy.config.core.v3.Node}}",
         '56 upstream_config.typed_config.@type: expected a type URL, "type.googleapis.com/package.Message", '
         'found "envoy.config.core.v3.Node"; did you mean "type.googleapis.com/envoy.config.core.v3.Node"?'),
        ("metadata: {filter_metadata: {x: 5}}",
         '37 metadata.filter_metadata["x"]: expected a mapping, found the number 5'),
    ],
)  # fmt: skip
def test_what_is_wrong_and_what_was_expected(line: str, expected: str) -> None:
    assert cluster_problem(line) == expected


def test_two_members_of_a_oneof() -> None:
    text = "static_resources: {clusters: [{name: a, type: EDS, cluster_type: {name: x}}]}"
    assert one_problem(text) == (
        "c.yaml:1:52: static_resources.clusters[0].cluster_type: only one of type and cluster_type may be set"
    )


def test_a_field_in_both_spellings() -> None:
    text = '{"static_resources": {},\n "staticResources": {}}'
    assert one_problem(text, "c.json") == (
        "c.json:2:2: static_resources: only one of static_resources and staticResources may be set"
    )


def typed(name: str, rest: str = "") -> str:
    return f"static_resources: {{listeners: [{{filter_chains: [{{filters: [{{name: h, typed_config: {{'@type': {name}{rest}}}}}]}}]}}]}}"  # noqa: E501


def test_a_misspelt_type_is_suggested() -> None:
    found = one_problem(
        typed("type.googleapis.com/" + MANAGER.replace("manager.v3.HttpC", "manager.v3.HttpsC"))
    )
    assert (
        f'unknown message type "{MANAGER.replace(".HttpC", ".HttpsC")}"; did you mean "{MANAGER}"?' in found
    )


def test_a_type_of_a_misspelt_package_is_suggested() -> None:
    found = one_problem(typed("type.googleapis.com/" + MANAGER.replace("http_connection", "http_conection")))
    assert f'did you mean "{MANAGER}"?' in found


def test_a_type_that_is_not_installed_is_said_to_be_so() -> None:
    found = one_problem(typed("type.googleapis.com/envoy.extensions.filters.http.squash.v3.Squash"))
    assert "may trail Envoy" in found


def test_fields_within_an_any() -> None:
    found = problems(typed("type.googleapis.com/" + MANAGER, ", stat_prefx: x, codec_type: HTTP9"))
    path = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
    assert [text.split(": ")[1] for text in found] == [f"{path}.stat_prefx", f"{path}.codec_type"]


def test_a_typed_struct_of_a_known_type_becomes_that_type() -> None:
    content = ", type_url: type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo, value: {}"
    document = load_text(typed("type.googleapis.com/xds.type.v3.TypedStruct", content), "c.yaml")
    config = document.message.static_resources.listeners[0].filter_chains[0].filters[0].typed_config
    assert config.type_url == "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"


def test_well_known_types_in_an_any() -> None:
    text = typed("type.googleapis.com/google.protobuf.Duration", ", value: 5s")
    config = load_text(text).message.static_resources.listeners[0].filter_chains[0].filters[0].typed_config
    assert config.type_url == "type.googleapis.com/google.protobuf.Duration"
    assert config.value == b"\x08\x05"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("5", "c.yaml:1:1: a configuration is a mapping, and this is the number 5"),
        ("null", "c.yaml:1:1: a configuration is a mapping, and this is null"),
        ("foo: 1\nbar: 2\n", "c.yaml:1:1: neither an Envoy v3 configuration"),
        ("a: [", "c.yaml:1:5: not valid YAML"),
    ],
)
def test_what_is_no_configuration_at_all(text: str, start: str) -> None:
    assert one_problem(text).startswith(start)


def test_a_misspelt_field_is_not_also_missing() -> None:
    assert len(problems("static_resources: {clusters: [{nam: a}]}")) == 1


def test_but_a_field_that_is_there_is_checked_all_the_same() -> None:
    assert len(problems("static_resources: {clusters: [{nam: a, name: ''}]}")) == 2


def test_one_value_is_a_list_of_one_and_lists_in_lists_are_flattened() -> None:
    text = "static_resources:\n  clusters:\n  - [{name: a}, {name: b}]\n  - {name: c}\nwatchdog: {}\n"
    document = load_text(text, "c.yaml")
    assert [cluster.name for cluster in document.message.static_resources.clusters] == ["a", "b", "c"]
    assert document.locate("static_resources.clusters[1]") == ("c.yaml", 3, 17)
    assert document.locate("static_resources.clusters[2].name") == ("c.yaml", 4, 12)
    alone = load_text("static_resources: {clusters: {name: a}}", "c.yaml")
    assert alone.locate("static_resources.clusters[0].name") == ("c.yaml", 1, 37)


# files and overlays


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none.yaml")
    with pytest.raises(ConfigError) as caught:
        load_bootstrap(path)
    assert str(caught.value) == f"{path}: cannot read it: No such file or directory"


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_bootstrap(str(path))


def test_an_overlay_replaces_fields_and_lengthens_lists(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("node: {id: a, cluster: c}\nstatic_resources: {clusters: [{name: a}]}\n")
    document = load_bootstrap(
        str(path), "node: {id: b}\nstatic_resources:\n  clusters: [{name: b}, {name: c}]\n"
    )
    assert document.message.node.id == "b"
    assert document.message.node.cluster == "c"
    assert [cluster.name for cluster in document.message.static_resources.clusters] == ["a", "b", "c"]
    assert document.locate("static_resources.clusters[0].name") == (str(path), 2, 38)
    assert document.locate("static_resources.clusters[2].name") == ("--config-yaml", 3, 32)
    assert document.locate("node.id") == ("--config-yaml", 1, 12)
    assert document.locate("node.cluster") == (str(path), 1, 24)


def test_an_overlay_alone() -> None:
    assert load_bootstrap(None, "node: {id: b}").message.node.id == "b"


def test_problems_of_an_overlay_come_after_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("\n\nnode: {idd: a}\n")
    with pytest.raises(ConfigError) as caught:
        load_bootstrap(str(path), "nod: {}")
    assert [problem.file for problem in caught.value.problems] == [str(path), "--config-yaml"]


def test_a_problem_found_later_gets_its_place() -> None:
    document = load_text("static_resources:\n  clusters:\n  - name: a\n    connect_timeout: 1s\n", "c.yaml")
    found = document.place(ConfigProblem("static_resources.clusters[0].connect_timeout", "is bad"))
    assert str(found) == "c.yaml:4:22: static_resources.clusters[0].connect_timeout: is bad"
    assert document.place(found) is found


# formats


def test_v1_is_recognised_by_its_keys() -> None:
    document = load_text(SIDECAR, "envoy.json")
    assert document.format == "v1"
    sds = document.message.static_resources.clusters[1].cluster_type
    assert sds.name == "twistproxy.clusters.v1_sds"
    line = next(n for n, text in enumerate(SIDECAR.splitlines(), 1) if "foo.default" in text)
    located = document.locate("static_resources.clusters[1].cluster_type.typed_config.service_name")
    assert located == ("envoy.json", line, 25)


def test_v1_in_yaml() -> None:
    import yaml

    document = load_text(yaml.safe_dump(json.loads(SIDECAR)), "envoy.yaml")
    assert document.format == "v1"


def test_a_v3_file_with_v1_keys_is_a_v3_file() -> None:
    text = "static_resources: {}\nlisteners: []\n"
    assert one_problem(text) == (
        'c.yaml:2:1: listeners: Bootstrap has no field "listeners"; did you mean "static_resources.listeners"?'
    )


# agreement with protobuf's own JSON reader


_names = st.text("abc-_.é", min_size=1, max_size=8)
_durations = st.integers(0, 10**6).map(lambda n: f"{n // 1000}.{n % 1000:03}s")
_clusters = st.fixed_dictionaries(
    {"name": _names},
    optional={
        "connect_timeout": _durations.filter(lambda text: float(text[:-1]) > 0),
        "lb_policy": st.sampled_from(["ROUND_ROBIN", "RANDOM", 2]),
        "per_connection_buffer_limit_bytes": st.integers(0, 2**32 - 1),
        "respect_dns_ttl": st.booleans(),
        "common_lb_config": st.fixed_dictionaries(
            {"healthy_panic_threshold": st.floats(0, 100).map(lambda n: {"value": n})}
        ),
        "metadata": st.dictionaries(
            _names,
            st.recursive(st.none() | st.booleans() | _names, lambda inner: st.lists(inner, max_size=3)),
        ).map(lambda content: {"filter_metadata": {"m": content}}),
    },
)


@given(st.lists(_clusters, max_size=3), st.booleans())
@settings(max_examples=100, deadline=None)
def test_json_is_read_as_protobuf_reads_it(clusters: list[object], camel: bool) -> None:
    document = {"static_resources": {"clusters": clusters}}
    message = load_text(json.dumps(document), "c.json").message
    expected = json_format.ParseDict(document, type(message)())
    assert message == expected
    again = json_format.MessageToJson(expected, preserving_proto_field_name=not camel)
    assert load_text(again, "c.json").message == expected


def test_few_modules_are_imported() -> None:
    """Loading a small file must not import the 600 and more modules of the Envoy API."""
    code = (
        "import sys; from twistproxy.config.load import load_text;"
        f"load_text({typed('type.googleapis.com/' + MANAGER, ', stat_prefix: x, route_config: {}')!r});"
        "print(sum(name.endswith('_pb2') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 200
