from __future__ import annotations

import json
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_bootstrap
from twistproxy.errors import ConfigError
from twistproxy.model.discovery import V1SdsSource
from twistproxy.model.server_options import ServerOptions


def source(tmp_path: Path, refresh_delay: object) -> V1SdsSource:
    """The source of a v1 SDS cluster with this delay between two questions."""
    value = {"cluster": "registry", "refresh_delay": refresh_delay}
    custom = {
        "name": "twistproxy.clusters.v1_sds",
        "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": "twistproxy.clusters.v1_sds",
            "value": value,
        },
    }
    clusters = [{"name": "registry", "type": "STATIC"}, {"name": "app", "cluster_type": custom}]
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"static_resources": {"clusters": clusters}}))
    found = build_bootstrap(load_bootstrap(str(file), None), ServerOptions()).clusters[1].source
    assert isinstance(found, V1SdsSource)
    return found


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5.0), ("0.25s", 0.25), ("30s", 30.0)])
def test_refresh_delay(tmp_path: Path, text: str, seconds: float) -> None:
    assert source(tmp_path, text).refresh_delay == seconds


@pytest.mark.parametrize("text", ["500ms", "soon", "", "-1s", "0s", "1e3s", "nans", 5, "\u0665s"])
def test_bad_refresh_delay_is_a_problem_with_its_place(tmp_path: Path, text: object) -> None:
    with pytest.raises(ConfigError) as caught:
        source(tmp_path, text)
    [problem] = caught.value.problems
    assert problem.path.endswith("refresh_delay")
    assert 'such as "30s"' in problem.message
