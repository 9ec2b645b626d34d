"""Which `stats_config`, `stats_sinks` and intervals are taken: the verdict of both engines on one at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

from .settings import Config, bootstrap, cluster, listener, read, routes_to
from .test_config_validity import envoy_takes

pytestmark = pytest.mark.parity

_STATSD = "{name: s, typed_config: {'@type': type.googleapis.com/envoy.config.metrics.v3.StatsdSink, %s}}"
_DOG = "{name: s, typed_config: {'@type': type.googleapis.com/envoy.config.metrics.v3.DogStatsdSink, %s}}"
_ADDRESS = "address: {socket_address: {protocol: %s, address: %s, port_value: 8125}}"
_NODE = "node: {id: n}, "

#: Fields of a bootstrap → whether they are taken.
CASES = {
    "{}": True,
    "stats_flush_interval: 0.001s": True,
    "stats_flush_interval: 0.0009s": False,
    "stats_flush_interval: 299s": True,
    "stats_flush_interval: 300s": False,
    "stats_flush_on_admin: true": True,
    "stats_flush_on_admin: false": False,
    "stats_config: {}": True,
    "stats_config: {stats_tags: [{tag_name: a, fixed_value: ''}]}": True,
    "stats_config: {stats_tags: [{fixed_value: b}]}": True,
    "stats_config: {stats_tags: [{tag_name: a}]}": False,
    "stats_config: {stats_tags: [{tag_name: a, regex: ''}]}": False,
    "stats_config: {stats_tags: [{tag_name: a, regex: '('}]}": False,
    "stats_config: {stats_tags: [{tag_name: a, regex: 'a(?=b)(([[:digit:]_]+))'}]}": True,
    "stats_config: {stats_tags: [{tag_name: '', regex: '(b)'}]}": False,
    "stats_config: {stats_tags: [{tag_name: a, regex: '(b)'}, {tag_name: a, regex: '(c)'}]}": True,
    "stats_config: {stats_tags: [{tag_name: envoy.cluster_name}]}": True,
    "stats_config: {stats_tags: [{tag_name: envoy.cluster_name}], use_all_default_tags: false}": True,
    "stats_config: {stats_matcher: {}}": False,
    "stats_config: {stats_matcher: {reject_all: true}}": True,
    "stats_config: {stats_matcher: {exclusion_list: {}}}": False,
    "stats_config: {stats_matcher: {inclusion_list: {patterns: [{prefix: a}]}}}": True,
    "stats_config: {stats_matcher: {inclusion_list: {patterns: [{}]}}}": False,
    "stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: [1]}]}": True,
    "stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: [1, 1]}]}": False,
    "stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: [0]}]}": False,
    "stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: []}]}": True,
    "stats_config: {histogram_bucket_settings: [{buckets: [1]}]}": False,
    "stats_sinks: [{name: s}]": False,
    "stats_sinks: [{name: envoy.stat_sinks.statsd}]": False,
    f"stats_sinks: [{_STATSD % (_ADDRESS % ('UDP', '127.0.0.1'))}]": True,
    f"stats_sinks: [{_STATSD % (_ADDRESS % ('UDP', 'localhost'))}]": False,
    f"stats_sinks: [{_STATSD % 'prefix: a'}]": False,
    f"{_NODE}stats_sinks: [{_STATSD % 'tcp_cluster_name: a'}]": False,
    f"stats_sinks: [{_STATSD % 'tcp_cluster_name: a'}]": True,
    f"stats_sinks: [{_STATSD % 'tcp_cluster_name: b'}]": False,
    f"stats_sinks: [{_DOG % (_ADDRESS % ('UDP', '127.0.0.1'))}]": True,
    f"stats_sinks: [{_DOG % (_ADDRESS % ('UDP', '127.0.0.1') + ', max_bytes_per_datagram: 0')}]": False,
    f"stats_sinks: [{_DOG % 'prefix: a'}]": False,
}
#: Envoy takes this, and it does nothing.
STRICTER = ["stats_config: {stats_tags: [{tag_name: a, regex: 'b'}]}"]


def configuration(fields: str) -> Config:
    base = bootstrap(0, [listener("main", 0, routes_to("a"))], [cluster("a", 80)])
    return base | read(fields if fields.startswith("{}") else "{" + fields + "}")


@pytest.mark.parametrize("fields", [*CASES, *STRICTER], ids=lambda text: text[:90])
def test_taken(fields: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(configuration(fields)))
    taken, said = envoy_takes(path)
    expected = CASES.get(fields, True)
    assert taken == expected, said
    problems = ""
    try:
        build_bootstrap(load_text(path.read_text(), str(path)), ServerOptions())
    except ConfigError as e:
        problems = str(e)
    assert (not problems) == (expected and fields not in STRICTER), problems
