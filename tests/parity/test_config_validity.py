"""What Envoy takes and refuses as configuration, loading takes and refuses too.

Each case is one snippet put into an otherwise valid bootstrap.  Only what reading and the protos' constraints decide
is here; what the builders check has its tests where they are.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.config.v1_samples import EVERYTHING, text
from twistproxy.config.load import load_text
from twistproxy.config.v1 import convert_v1
from twistproxy.errors import ConfigError

pytestmark = pytest.mark.parity

CLUSTER = """\
static_resources:
  clusters:
  - name: a
    load_assignment: {{cluster_name: a}}
    {}
"""

ENDPOINT = """\
static_resources:
  clusters:
  - name: a
    connect_timeout: 1s
    type: STATIC
    load_assignment: {{cluster_name: a, endpoints: [{{lb_endpoints: [{}]}}]}}
"""

_MANAGER_TYPE = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
MANAGER = f"""\
static_resources:
  listeners:
  - name: l
    address: {{{{socket_address: {{{{address: 127.0.0.1, port_value: 0}}}}}}}}
    filter_chains:
    - filters:
      - name: h
        typed_config: {{{{
          "@type": type.googleapis.com/{_MANAGER_TYPE},
          stat_prefix: x,
          http_filters: [{{{{
            name: r,
            typed_config: {{{{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}
          }}}}],
          {{}}
        }}}}
"""

ROUTE = MANAGER.replace("{}", "route_config: {{virtual_hosts: [{{name: v, domains: ['*'], routes: [{}]}}]}}")
VIRTUAL_HOST = MANAGER.replace("{}", "route_config: {{virtual_hosts: [{{name: v, domains: ['*'], {}}}]}}")

# Each line is a case: a snippet, put in the place of {}.
CASES = {
    CLUSTER: r"""
connect_timeout: 5
connect_timeout: 5ms
connect_timeout: 0.25s
connect_timeout: '5'
connect_timeout: 5.s
connect_timeout: .5s
connect_timeout: +5s
connect_timeout: 1e1s
connect_timeout: 0s
connect_timeout: -1s
connect_timeout: 0.000000001s
connect_timeout: 0.0000000001s
connect_timeout: 315576000001s
connect_timeout: {seconds: 5}
lb_policy: round_robin
lb_policy: rANDOM
lb_policy: 2
lb_policy: '2'
lb_policy: 99
lb_policy: least-request
lb_policy: 2.0
lb_policy: y
alt_stat_name: y
alt_stat_name: 'y'
alt_stat_name: 5
alt_stat_name: 1.5
alt_stat_name: 99999999999
alt_stat_name: ~
alt_stat_name: NULL
alt_stat_name: nan
alt_stat_name: Off
alt_stat_name: oFf
alt_stat_name: !!str y
alt_stat_name: 0x10
alt_stat_name: 010
alt_stat_name: 08
alt_stat_name: +5
alt_stat_name: 1_000
alt_stat_name: [a]
alt_stat_name: {a: b}
per_connection_buffer_limit_bytes: '32768'
per_connection_buffer_limit_bytes: 0x10
per_connection_buffer_limit_bytes: 5.0
per_connection_buffer_limit_bytes: 5.5
per_connection_buffer_limit_bytes: 1e3
per_connection_buffer_limit_bytes: -1
per_connection_buffer_limit_bytes: 4294967295
per_connection_buffer_limit_bytes: 4294967296
per_connection_buffer_limit_bytes: true
per_connection_buffer_limit_bytes: ' 5'
per_connection_buffer_limit_bytes: ''
per_connection_buffer_limit_bytes: '0x10'
per_connection_buffer_limit_bytes: 0o10
per_connection_buffer_limit_bytes: {value: 5}
respect_dns_ttl: yes
respect_dns_ttl: 'yes'
respect_dns_ttl: 'on'
respect_dns_ttl: 1
respect_dns_ttl: '1'
respect_dns_ttl: ON
respect_dns_ttl: oN
common_lb_config: {healthy_panic_threshold: {value: 50}}
common_lb_config: {healthy_panic_threshold: {value: '5e1'}}
common_lb_config: {healthy_panic_threshold: {value: .inf}}
common_lb_config: {healthy_panic_threshold: {value: 101}}
common_lb_config: {healthy_panic_threshold: 50}
common_lb_config: 5
commonLbConfig: {healthyPanicThreshold: {value: 50}}
common-lb-config: {}
dns_resolvers: ~
health_checks: [null]
health_checks: {timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}
health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1}]
health_checks: [{timeout: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]
health_checks: [{timeout: 0s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]
health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {}}]
health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: "/a\nb"}}]
load_balancing_policy: []
metadata: {filter_metadata: {x: {a: 1.5, b: [1, null, true, y], c: ~}}}
metadata: {filter_metadata: {x: 5}}
metadata: {filter_metadata: {5: {}}}
metadata: {filter_metadata: [x]}
foo: bar
!ignore foo: bar
hosts: []
name: b
upstream_config: {name: x}
upstream_config: {name: x, typed_config: {}}
upstream_config: {name: '', typed_config: {}}
upstream_config: {name: x, typed_config: {value: 3}}
upstream_config: {name: x, typed_config: {'@type': envoy.config.core.v3.Node}}
upstream_config: {name: x, typed_config: {'@type': x/envoy.config.core.v3.Node, id: 5}}
upstream_config: {name: x, typed_config: {'@type': type.googleapis.com/foo.Bar}}
upstream_config: {name: x, typed_config: {'@type': ''}}
upstream_config: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Duration, value: 5s}}
upstream_config: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Duration, value: 5}}
upstream_config: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.StringValue, value: a, x: 1}}
upstream_config: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Struct, value: {a: 5}}}
circuit_breakers: {thresholds: [{priority: 7}]}
circuit_breakers: {thresholds: [{max_requests: 5, track_remaining: true}]}
outlier_detection: {max_ejection_percent: 101}
outlier_detection: {interval: 0s}
outlier_detection: {base_ejection_time: 400s}
outlier_detection: {max_ejection_time: 0s}
outlier_detection: {enforcing_failure_percentage: 101}
outlier_detection: {consecutive_5xx: 0, max_ejection_time_jitter: 0s, always_eject_one_host: true}
outlier_detection: {interval: 1s, enforcing_success_rate: 100}
ring_hash_lb_config: {minimum_ring_size: 8388609}
ring_hash_lb_config: {minimum_ring_size: 100, hash_function: MURMUR_HASH_2}
least_request_lb_config: {choice_count: 1}
least_request_lb_config: {choice_count: 2}
dns_refresh_rate: 0.0005s
dns_refresh_rate: 0s
dns_lookup_family: V5_ONLY
cleanup_interval: 0s
max_requests_per_connection: 5
load_assignment: {}
""",
    ENDPOINT: r"""
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}}}
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: '80'}}}}
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 65536}}}}
{endpoint: {address: {socket_address: {address: 127.0.0.1}}}}
{endpoint: {address: {socket_address: {address: '', port_value: 80}}}}
{endpoint: {address: {}}}
{endpoint: {address: {pipe: {path: ''}}}}
{endpoint: {address: {pipe: {path: /a, mode: 511}}}}
{endpoint: {address: {pipe: {path: /a, mode: 512}}}}
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}}, endpoint_name: x}
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}}, load_balancing_weight: 0}
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}}, load_balancing_weight: 1}
{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80, named_port: http}}}}
""",
    MANAGER: r"""
route_config: {}
route_config: {virtual_hosts: [{name: a, domains: []}]}
route_config: {virtual_hosts: [{name: '', domains: [a]}]}
route_config: {virtual_hosts: {name: a, domains: '*'}}
route_config: {virtual_hosts: [[{name: a, domains: [[a, [b]], c]}], {name: b, domains: d}]}
route_config: {virtual_hosts: [{name: a, domains: [[]]}]}
route_config: {virtual_hosts: [{name: a, domains: [a], require_tls: SOME}]}
route_config: {virtual_hosts: [{name: a, domains: [a], require_tls: 7}]}
route_config: {internal_only_headers: ['a b']}
route_config: {internal_only_headers: ["a\nb"]}
route_config: {request_headers_to_remove: ["a\nb"]}
route_config: {response_headers_to_add: [{header: {key: a, value: b}}]}
route_config: {response_headers_to_add: [{header: {key: '', value: b}}]}
route_config: {response_headers_to_add: [{header: {key: a, value: "b\nc"}}]}
route_config: {response_headers_to_add: [{}]}
route_config: {response_headers_to_add: [{header: {key: a, value: b}, append_action: SOMETIMES}]}
route_config: {}, codec_type: http1
route_config: {}, codec_type: HTTP4
route_config: {}, server_name: "a\nb"
route_config: {}, server_name: "a b"
route_config: {}, max_request_headers_kb: 0
route_config: {}, max_request_headers_kb: 8192
route_config: {}, max_request_headers_kb: 8193
route_config: {}, forward_client_cert_details: 9
route_config: {}, path_with_escaped_slashes_action: KEEP_UNCHANGED
route_config: {}, request_headers_timeout: -1s
route_config: {}, rds: {}
route_config: {}, foo: 1
route_config: {}, stat_prefix: ''
route_config: {}, http2_protocol_options: {max_concurrent_streams: 0}
route_config: {}, http2_protocol_options: {initial_stream_window_size: 65534}
route_config: {}, http2_protocol_options: {initial_stream_window_size: 65535}
route_config: {}, upgrade_configs: [{upgrade_type: websocket}]
route_config: {}, internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}
route_config: {}, internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 129}]}
route_config: {}, internal_address_config: {cidr_ranges: [{address_prefix: '', prefix_len: 8}]}
""",
    ROUTE: r"""
{match: {prefix: /}, direct_response: {status: 200}}
{match: {prefix: /}, direct_response: {status: 99}}
{match: {prefix: /}, direct_response: {status: 199}}
{match: {prefix: /}, direct_response: {status: 600}}
{match: {prefix: /}, direct_response: {status: 200, body: {inline_bytes: 'aGk='}}}
{match: {prefix: /}, direct_response: {status: 200, body: {inline_bytes: 'a-_k'}}}
{match: {prefix: /}, direct_response: {status: 200, body: {inline_bytes: 'aGk'}}}
{match: {prefix: /}, direct_response: {status: 200, body: {inline_bytes: '!'}}}
{match: {prefix: /}, direct_response: {status: 200, body: {filename: ''}}}
{match: {prefix: /}, direct_response: {status: 200, body: {}}}
{match: {prefix: /}, direct_response: {}}
{match: {prefix: /}}
{match: {}, direct_response: {status: 200}}
{direct_response: {status: 200}}
{match: {prefix: /, path: /a}, direct_response: {status: 200}}
{match: {prefix: /, path: ~}, direct_response: {status: 200}}
{match: {safe_regex: {regex: ''}}, direct_response: {status: 200}}
{match: {safe_regex: {regex: /a}}, direct_response: {status: 200}}
{match: {prefix: /, headers: [{name: ''}]}, direct_response: {status: 200}}
{match: {prefix: /, headers: [{name: a, present_match: true}]}, direct_response: {status: 200}}
{match: {prefix: /, headers: [{name: a, string_match: {}}]}, direct_response: {status: 200}}
{match: {prefix: /, headers: [{name: a, string_match: {prefix: ''}}]}, direct_response: {status: 200}}
{match: {prefix: /, headers: [{name: a, range_match: {start: '1', end: '10'}}]}, direct_response: {status: 200}}
{match: {prefix: /, query_parameters: [{name: a, string_match: {exact: b}}]}, direct_response: {status: 200}}
{match: {path_separated_prefix: /a}, direct_response: {status: 200}}
{match: {path_separated_prefix: /a/}, direct_response: {status: 200}}
{match: {path_separated_prefix: /}, direct_response: {status: 200}}
{match: {prefix: /}, redirect: {}}
{match: {prefix: /}, redirect: {host_redirect: a, port_redirect: 70000}}
{match: {prefix: /}, redirect: {host_redirect: "a\nb"}}
{match: {prefix: /}, redirect: {response_code: FOUND}}
{match: {prefix: /}, redirect: {response_code: 7}}
{match: {prefix: /}, redirect: {path_redirect: /a, prefix_rewrite: /b}}
{match: {prefix: /}, redirect: {}, direct_response: {status: 200}}
{match: {prefix: /}, route: {}}
{match: {prefix: /}, route: {cluster: ''}}
{match: {prefix: /}, route: {cluster_header: a}}
{match: {prefix: /}, route: {cluster_header: ''}}
{match: {prefix: /}, route: {cluster_header: a, timeout: 15}}
{match: {prefix: /}, route: {cluster_header: a, timeout: 15s}}
{match: {prefix: /}, route: {cluster_header: a, priority: 3}}
{match: {prefix: /}, route: {cluster_header: a, host_rewrite_literal: "a\nb"}}
{match: {prefix: /}, route: {cluster_header: a, host_rewrite_literal: a, auto_host_rewrite: true}}
{match: {prefix: /}, route: {cluster_header: a, retry_policy: {retry_on: 5xx, retry_back_off: {base_interval: 0s}}}}
{match: {prefix: /}, route: {cluster_header: a, retry_policy: {retry_back_off: {}}}}
{match: {prefix: /}, route: {cluster_header: a, hash_policy: [{}]}}
{match: {prefix: /}, route: {cluster_header: a, hash_policy: [{header: {header_name: ''}}]}}
{match: {prefix: /}, route: {cluster_header: a, upgrade_configs: [{upgrade_type: ''}]}}
{match: {prefix: /}, route: {weighted_clusters: {clusters: []}}}
{match: {prefix: /}, direct_response: {status: 200}, typed_per_filter_config: {a: {'@type': type.googleapis.com/nope.v3.Nope}}}
{match: {prefix: /}, direct_response: {status: 200}, metadata: {filter_metadata: {'': {}}}}
{match: {prefix: /, runtime_fraction: {default_value: {numerator: 5, denominator: HUNDRED}}}, direct_response: {status: 200}}
{match: {prefix: /, runtime_fraction: {default_value: {numerator: 5, denominator: 3}}}, direct_response: {status: 200}}
{match: {prefix: /, runtime_fraction: {runtime_key: x}}, direct_response: {status: 200}}
""",
    VIRTUAL_HOST: r"""
rate_limits: [{actions: []}]
rate_limits: [{stage: 11, actions: [{source_cluster: {}}]}]
rate_limits: [{stage: 10, actions: [{source_cluster: {}}]}]
rate_limits: [{actions: [{}]}]
rate_limits: [{actions: [{generic_key: {descriptor_value: ''}}]}]
rate_limits: [{actions: [{generic_key: {descriptor_value: a}}]}]
virtual_clusters: [{name: ''}]
retry_policy: {retry_on: 5xx, num_retries: 1}
retry_policy: {per_try_timeout: x}
retry_policy: {retry_on: nonsense}
retry_policy: {retry_back_off: {base_interval: 0s}}
retry_policy: {retry_back_off: {base_interval: 0.0001s, max_interval: 0.0001s}}
retry_policy: {rate_limited_retry_back_off: {}}
retry_policy: {rate_limited_retry_back_off: {reset_headers: [{name: a, format: MINUTES}]}}
retry_policy: {rate_limited_retry_back_off: {reset_headers: [{format: SECONDS}]}}
retry_policy: {retriable_headers: [{name: ""}]}
retry_policy: {host_selection_retry_max_attempts: -1}
retry_policy: {retriable_status_codes: [1000000]}
hedge_policy: {initial_requests: 0}
request_headers_to_remove: ['']
request_headers_to_remove: [a]
""",
}

# Whole texts.
WHOLE = {
    "empty": "",
    "null": "null",
    "a list": "[]",
    "a number": "5",
    "an empty mapping": "{}",
    "a comment": "# nothing\n",
    "not YAML": "a: b: c",
    "an unknown key": "{a: 1}",
    "an alias": "static_resources: {clusters: [{name: &n a, load_assignment: {cluster_name: *n}}]}",
    "a key twice": "node: {id: a, id: b}",
    "two documents": "{}\n---\nfoo: bar\n",
    "a byte order mark": "\ufeffstatic_resources: {}\n",
    "a list as key": "? [a]\n: 1\n",
    "a tab": "static_resources:\n\tclusters: []\n",
    "a block as text": "node:\n  id: |\n    y\n",
    "node metadata": "node: {id: a, cluster: b, metadata: {a: 1.5, b: [y], c: {}}}",
    "admin without address": "admin: {}",
    "a layer without name": "layered_runtime: {layers: [{}]}",
    "a static layer": "layered_runtime: {layers: [{name: a, static_layer: {a.b: 1}}]}",
    "a negative flush interval": "stats_flush_interval: -1s",
    "a flush interval too short": "stats_flush_interval: 0.0001s",
    "a flush interval": "stats_flush_interval: 1s",
    "a stats matcher": "stats_config: {stats_matcher: {reject_all: true}}",
    "a stats matcher without kind": "stats_config: {stats_matcher: {}}",
    "a watchdog": "watchdogs: {worker_watchdog: {miss_timeout: 0.2s}}",
    "flags": "flags_path: /nowhere",
}

# JSON texts, in files of that name for Envoy.
JSON = {
    "an object": '{"node": {"id": "a"}}',
    "a bare key": '{node: {"id": "a"}}',
    "single quotes": "{'node': {'id': 'a'}}",
    "a comma too many": '{"node": {"id": "a"},}',
    "a tab": '{\t"node":\t{"id": "a"}}',
    "a tab in a string": '{"node": {"id": "a\tb"}}',
    "something after the end": '{"node": {}} x',
    "a missing brace": '{"node": {"id": "a"}',
    "a number as text": '{"node": {"id": 5}}',
    "text as a number": '{"stats_config": {"histogram_bucket_settings": [{"match": {"exact": "a"}, "buckets": ["1"]}]}}',
    "not a number": '{"node": {"metadata": {"a": NaN}}}',
    "two values": '{"stats_config": {"histogram_bucket_settings": [1 2]}}',
    "a bare value": '{"node": {"id": a}}',
    "a pair of surrogates": '{"node": {"id": "\\ud83d\\ude00"}}',
    "half a pair of surrogates": '{"node": {"id": "\\ud83d"}}',
    "null": '{"node": null}',
    "an array": "[]",
}


def _snippets() -> list[tuple[str, str]]:
    return [
        (snippet, template.format(snippet))
        for template, lines in CASES.items()
        for snippet in lines.strip().splitlines()
    ]


def envoy_takes(path: Path) -> tuple[bool, str]:
    """Whether Envoy takes the file, and what it says."""
    command = ["envoy", "--mode", "validate", "-l", "error", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=90, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")


def we_take(content: str, name: str) -> tuple[bool, str]:
    """Whether loading takes the text, and what it says."""
    try:
        load_text(content, name)
    except ConfigError as error:
        return False, str(error)
    return True, ""


def _same_verdict(content: str, path: Path) -> None:
    path.write_text(content, encoding="utf-8")
    theirs, their_words = envoy_takes(path)
    ours, our_words = we_take(content, path.name)
    assert ours == theirs, f"Envoy: {their_words}\ntwistproxy: {our_words}\n{content}"


@pytest.mark.parametrize(("snippet", "content"), _snippets(), ids=lambda value: str(value)[:70])
def test_snippet(snippet: str, content: str, tmp_path: Path) -> None:
    _same_verdict(content, tmp_path / "c.yaml")


@pytest.mark.parametrize("name", WHOLE)
def test_whole_text(name: str, tmp_path: Path) -> None:
    _same_verdict(WHOLE[name], tmp_path / "c.yaml")


@pytest.mark.parametrize("name", JSON)
def test_json(name: str, tmp_path: Path) -> None:
    _same_verdict(JSON[name], tmp_path / "c.json")


def test_envoy_takes_what_v1_is_converted_to(tmp_path: Path) -> None:
    path = tmp_path / "converted.yaml"
    converted, _ = convert_v1(text(EVERYTHING))
    path.write_text(converted, encoding="utf-8")
    taken, words = envoy_takes(path)
    assert taken, words


def test_an_overlay_is_merged_as_envoy_merges_it(tmp_path: Path) -> None:
    """Lists grow: with the overlay's cluster of the same name Envoy finds two."""
    path = tmp_path / "c.yaml"
    path.write_text(CLUSTER.format("connect_timeout: 1s"), encoding="utf-8")
    command = ["envoy", "--mode", "validate", "-l", "error", "-c", str(path)]
    overlay = "static_resources: {clusters: [{name: a, load_assignment: {cluster_name: a}}]}"
    done = subprocess.run([*command, "--config-yaml", overlay], capture_output=True, timeout=90, check=False)
    assert done.returncode != 0
    assert b"duplicate cluster 'a'" in done.stdout + done.stderr
