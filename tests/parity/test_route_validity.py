"""Which routes and virtual hosts Envoy takes and refuses, twistproxy takes and refuses too."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

from .settings import Config, bootstrap, cluster, listener
from .test_match_tree import answer, is_, to, when
from .test_route_conditions import rewrite, template

pytestmark = pytest.mark.parity

FORWARD = {"route": {"cluster": "a"}}


def matching(**match: object) -> Config:
    return {"routes": [{"match": match, **FORWARD}]}


def acting(**action: object) -> Config:
    return {"routes": [{"match": {"prefix": "/"}, "route": action}]}


def weights(*clusters: Config, **more: object) -> Config:
    return acting(weighted_clusters={"clusters": list(clusters), **more})


def rewritten(match: str, text: str) -> Config:
    return {"routes": [{"match": template(match), "route": {"cluster": "a", **rewrite(text)}}]}


A = {"name": "a", "weight": 1}
TEMPLATES = """
/ /a/* /** /{x} /a/ /a{b} /a{b}c/d /{b=**}c/d /*.x /{x=a/*}/b /a=b /a*b a /**/* /**/{x} /{x}/{x} /{} /{1} /{x /{x=}
/{x=*/} /{x=*b} /{xxxxxxxxxxxxxxxxx} /{a}/{b}/{c}/{d}/{e}/{f} /*a/b //a /a//b /é /a{b}c{d} /{a}{b} /a{b=x/*}c /*{b} /a}b
/a{ /**.x/
"""
REWRITES = "/ /new/{x} /{x}{x} /a*=b new {x} /{nobody} /{x /a//b /{x}/{} /a?b"

CASES: dict[str, Config] = {
    **{f"template {text}": matching(**template(text)) for text in TEMPLATES.split()},
    **{f"rewrite {text}": rewritten("/q/{x}", text) for text in REWRITES.split()},
    "template with a space": matching(**template("/a b")),
    "template that is insensitive": matching(**template("/a"), case_sensitive=False),
    "rewrite without template": acting(cluster="a", **rewrite("/x")),
    "two rewrites": acting(
        cluster="a", prefix_rewrite="/x", regex_rewrite={"pattern": {"regex": "a"}, "substitution": "b"}
    ),
    "prefix rewrite of a template": {
        "routes": [{"match": template("/q"), "route": {"cluster": "a", "prefix_rewrite": "/x"}}]
    },
    "regex and ignore_case": matching(
        prefix="/",
        headers=[{"name": "a", "string_match": {"safe_regex": {"regex": "a"}, "ignore_case": True}}],
    ),
    "no regex": matching(safe_regex={"regex": "("}),
    "range the wrong way": matching(
        prefix="/", headers=[{"name": "a", "range_match": {"start": 5, "end": 1}}]
    ),
    "path with a question mark": matching(path="/a?b"),
    "prefix without a slash": matching(prefix="a"),
    "separated prefix with a slash": matching(path_separated_prefix="/a/"),
    "separated prefix without a slash": matching(path_separated_prefix="a"),
    "no path": matching(),
    "no cluster": acting(cluster="nobody"),
    "weights": weights(A, {"name": "b", "weight": 0}),
    "weights of 0": weights({"name": "a", "weight": 0}),
    "no weights": weights(),
    "weight of nobody": weights({"name": "nobody", "weight": 1}),
    "weight of two": weights({"name": "a", "cluster_header": "x", "weight": 1}),
    "weight of none": weights({"weight": 1}),
    "weight missing": weights(A, {"name": "b"}),
    "weights too large": weights({"name": "a", "weight": 4294967295}, A),
    "total weight": weights(A, total_weight=100),
    "weights by hash": weights(A, use_hash_policy=True),
    "weight with metadata": weights({**A, "metadata_match": {"filter_metadata": {"envoy.lb": {"x": "y"}}}}),
    "no cluster header": acting(cluster_header=""),
    "pseudo cluster header": acting(cluster_header=":path"),
    "non_forwarding_action": {"routes": [{"match": {"prefix": "/"}, "non_forwarding_action": {}}]},
    "no action": {"routes": [{"match": {"prefix": "/"}}]},
    "virtual cluster without headers": {"virtual_clusters": [{"name": "x"}]},
    "virtual cluster": {"virtual_clusters": [{"name": "x", "headers": [{"name": ":path"}]}]},
    "matcher": {"matcher": when((is_("x", exact="1"), to(answer("x"))))},
    "empty matcher": {"matcher": {}},
    "matcher and routes": {"matcher": when((is_("x", exact="1"), to(answer("x")))), **matching(prefix="/")},
    "matcher with an unknown cluster": {
        "matcher": {"on_no_match": to({"match": {"prefix": "/"}, "route": {"cluster": "nobody"}})}
    },
    "matcher that keeps matching": {"matcher": {"on_no_match": {**to(answer("x")), "keep_matching": True}}},
    "body too large": {"routes": [answer("x" * 4097)]},
}


def content(host: Config) -> str:
    hosts = [{"name": "v", "domains": ["*"], **host}]
    return json.dumps(bootstrap(0, [listener("l", 0, hosts)], [cluster("a", 9), cluster("b", 9)]))


@pytest.fixture(scope="module")
def envoys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What Envoy says to each case, "" where it takes it; two at a time."""
    directory = tmp_path_factory.mktemp("routes")

    def ask(number: int, name: str) -> str:
        path = Path(directory / f"{number}.json")
        path.write_text(content(CASES[name]))
        command = ["envoy", "--mode", "validate", "-l", "error", "-c", str(path)]
        done = subprocess.run(command, capture_output=True, timeout=90, check=False)
        return (
            ""
            if done.returncode == 0
            else (done.stdout + done.stderr).decode("utf-8", "replace") or "refused"
        )

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(ask, range(len(CASES)), CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_same_verdict(envoys: dict[str, str], name: str) -> None:
    ours = ""
    try:
        build_bootstrap(load_text(content(CASES[name]), "c.json"), ServerOptions())
    except ConfigError as error:
        ours = str(error)
    assert bool(ours) == bool(envoys[name]), f"Envoy: {envoys[name]}\ntwistproxy: {ours}"
