"""Which settings of admission_control and adaptive_concurrency are taken: the verdict of both engines on one filter at
a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

from .settings import ROUTER, Config, bootstrap, cluster, listener, read, routes_to
from .test_config_validity import envoy_takes

pytestmark = pytest.mark.parity

_TYPES = "type.googleapis.com/envoy.extensions.filters.http."
ADMISSION, ADAPTIVE = "admission_control.v3.AdmissionControl", "adaptive_concurrency.v3.AdaptiveConcurrency"
RANGE = "success_criteria: {http_criteria: {http_success_status: [{start: %s, end: %s}]}}"
GRPC = "success_criteria: {grpc_criteria: {grpc_success_status: [%s]}}"
GRADIENT = (
    "gradient_controller_config: {concurrency_limit_params: {concurrency_update_interval: 1s},"
    " min_rtt_calc_params: {%s}}"
)

#: A filter and what is said of it → whether it is taken.
CASES = {
    (ADMISSION, "{}"): False,
    (ADMISSION, "success_criteria: {}"): True,
    (ADMISSION, RANGE % (200, 200)): True,
    (ADMISSION, RANGE % (100, 600)): True,
    (ADMISSION, RANGE % (99, 200)): False,
    (ADMISSION, RANGE % (200, 601)): False,
    (ADMISSION, RANGE % (300, 200)): False,
    (ADMISSION, GRPC % "0, 16"): True,
    (ADMISSION, GRPC % "17"): False,
    (ADMISSION, GRPC % ""): False,
    (ADMISSION, "{success_criteria: {}, sampling_window: 1.5s}"): True,
    (ADMISSION, "{success_criteria: {}, sr_threshold: {default_value: {value: 1}}}"): True,
    (ADMISSION, "{success_criteria: {}, sr_threshold: {default_value: {value: 0.5}}}"): False,
    (ADMISSION, "{success_criteria: {}, sr_threshold: {runtime_key: k}}"): False,
    (ADMISSION, "{success_criteria: {}, aggression: {default_value: -0.5}}"): True,
    (ADMISSION, "{success_criteria: {}, enabled: {runtime_key: k}}"): False,
    (ADAPTIVE, "{}"): False,
    (ADAPTIVE, GRADIENT % ""): False,
    (ADAPTIVE, GRADIENT % "interval: 0.001s"): True,
    (ADAPTIVE, GRADIENT % "interval: 0.0005s"): False,
    (ADAPTIVE, GRADIENT % "fixed_value: 1s"): True,
    (ADAPTIVE, GRADIENT % "fixed_value: 0.0005s"): False,
    (ADAPTIVE, GRADIENT % "{interval: 1s, fixed_value: 1s, request_count: 1}"[1:-1]): True,
    (ADAPTIVE, GRADIENT % "interval: 1s, request_count: 0"): False,
    (ADAPTIVE, GRADIENT % "interval: 1s, jitter: {value: 101}"): False,
    (ADAPTIVE, "{concurrency_limit_exceeded_status: {code: 200}, " + GRADIENT % "interval: 1s" + "}"): True,
    (ADAPTIVE, "{concurrency_limit_exceeded_status: {code: 999}, " + GRADIENT % "interval: 1s" + "}"): False,
    (ADAPTIVE, "{enabled: {}, " + GRADIENT % "interval: 1s" + "}"): False,
}
#: Envoy takes this, and divides by zero.
STRICTER = {(ADMISSION, "{success_criteria: {}, sampling_window: 0.5s}")}


def configuration(kind: str, fields: str) -> Config:
    filters = [
        {"name": "guard", "typed_config": {"@type": _TYPES + kind, **read(fields)}},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    main = listener("main", 0, routes_to("a"), http_filters=filters)
    return bootstrap(0, [main], [cluster("a", 80)])


@pytest.mark.parametrize(("kind", "fields"), [*CASES, *STRICTER], ids=lambda text: text[:70])
def test_taken(kind: str, fields: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(configuration(kind, fields)))
    theirs, words = envoy_takes(path)
    taken = CASES.get((kind, fields), True)
    assert theirs == taken, words
    ours = True
    try:
        build_bootstrap(load_text(path.read_text(), path.name), ServerOptions())
    except ConfigError as error:
        ours, words = False, str(error)
    assert ours == (taken and (kind, fields) not in STRICTER), words
