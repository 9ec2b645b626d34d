"""Runtime layers: static, disk and admin, their pages and statistics."""

from __future__ import annotations

import os
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .settings import Config, bootstrap, cluster, endpoint, listener, read

pytestmark = pytest.mark.parity

#: key: (value in the static layer, what /runtime shows)
STATIC: dict[str, tuple[Any, str]] = {
    "a.b": (5, "5"),
    "big": (12345678, "1.23457e+07"),
    "beyond": (123456789012, "123456789012"),
    "negative": (-3, "-3"),
    "half": (2.5, "2.5"),
    "tiny": (0.0000123, "1.23e-05"),
    "on": (True, "true"),
    "off": (False, "false"),
    "text": ("hello", "hello"),
    "empty": ("", ""),
    "number_text": ("12", "12"),
    "deep": ({"er": {"still": 3}}, ""),
    "share": (
        {"numerator": 5, "denominator": "TEN_THOUSAND"},
        'fields { key: "denominator" value { string_value: "TEN_THOUSAND" } }'
        ' fields { key: "numerator" value { number_value: 5 } }',
    ),
    "nothing": ({}, ""),
    "envoy.reloadable_features.unknown_to_everybody": ("x", "x"),
}

#: file below the directory: (content, what /runtime shows)
FILES = {
    "a/b": ("25\n", "25"),
    "text": ("# a comment\n\nfrom the disk  \n", "from the disk"),
    "disk.share": ("numerator: 10\ndenominator: TEN_THOUSAND\n", "numerator: 10\ndenominator: TEN_THOUSAND"),
    "quoted": ('"77"', '"77"'),
    "comment": ("# nothing\n", ""),
}


#: What a value makes of a fraction whose default is 0 %: all requests pass, or none.
FRACTIONS: dict[str, tuple[Any, bool]] = {
    "all": (100, True),
    "more": (250, True),
    "none": (0, False),
    "negative": (-5, False),
    "text": ("100", True),
    "word": ("true", False),
    "bool": (True, False),
    "floor": (100.9, True),
    "share": ({"numerator": 10000, "denominator": "TEN_THOUSAND"}, True),
    "bare_share": ({"numerator": 100}, True),
    "part_of_it": ({"denominator": "MILLION"}, False),
    "number_as_denominator": ({"numerator": 10000, "denominator": 1}, False),
    "unknown_denominator": ({"numerator": 1000, "denominator": "THOUSAND"}, False),
    "further_field": ({"numerator": 100, "other": 1}, False),
    "share_as_text": ('{"numerator": 1000000, "denominator": "MILLION"}', False),
    "absent": (None, False),
}


def configure(proxy: Proxy) -> Config:
    for version in ("v1", "v2"):
        for name, (content, _) in FILES.items():
            path = proxy.directory / version / "sub" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if version == "v1" else content.replace("5", "6"))
    override = proxy.directory / "v1" / "over" / "parity-cluster"
    override.mkdir(parents=True)
    (override / "over").write_text("1")
    root = proxy.directory / "current"
    root.symlink_to("v1")
    static = {key: value for key, (value, _) in STATIC.items()}
    static |= {
        "circuit_breakers.limited.default.max_requests": 0,
        "upstream.maintenance_mode.kept": 100,
        "upstream.healthy_panic_threshold": 30,
    }
    static |= {f"fraction.{name}": value for name, (value, _) in FRACTIONS.items() if value is not None}
    layers = read(f"""
- {{name: disk, disk_layer: {{symlink_root: {root}, subdirectory: sub}}}}
- {{name: override, disk_layer: {{symlink_root: {root}, subdirectory: over, append_service_cluster: true}}}}
- {{name: missing, disk_layer: {{symlink_root: {root}, subdirectory: nowhere}}}}
- {{name: admin, admin_layer: {{}}}}
""")
    layers.insert(0, {"name": "base", "static_layer": static})
    routes = [
        {
            "match": {
                "prefix": f"/{name}/",
                "runtime_fraction": {
                    "default_value": {"numerator": 0},
                    "runtime_key": f"fraction.{name}",
                },
            },
            "direct_response": {"status": 200},
        }
        for name in [*FRACTIONS, "modified"]
    ]
    routes += [
        {"match": {"prefix": f"/to_{name}"}, "route": {"cluster": name}}
        for name in ("limited", "kept", "sick")
    ]
    host = {"name": "all", "domains": ["*"], "routes": routes}
    main = listener("main", proxy.port(), [host])
    origin = proxy.origin().port
    sick = [{**endpoint(port), "health_status": "UNHEALTHY"} for port in (1, 2)]
    clusters = [
        cluster("limited", origin),
        cluster("kept", origin),
        cluster("sick", origin, *sick),
    ]
    return bootstrap(proxy.port("admin"), [main], clusters, layered_runtime={"layers": layers})


def shown(proxy: Proxy) -> dict[str, Any]:
    page: dict[str, Any] = proxy.admin_json("/runtime")
    return page


def value(proxy: Proxy, key: str) -> list[str]:
    """The value of a key in each layer, and at last the one that counts; [] if there is no such key."""
    entry = shown(proxy)["entries"].get(key)
    return [*entry["layer_values"], entry["final_value"]] if entry else []


def plain(text: str) -> str:
    """Without what protobuf puts before its debug texts, and its line breaks."""
    if text.startswith("goo.gle/"):
        text = text.partition("\n")[2]
    return " ".join(text.split()) if text.startswith("fields {") else text


def modify(proxy: Proxy, query: str) -> tuple[int, str]:
    response = proxy.admin(f"/runtime_modify{query}", "POST")
    return response.status, response.text


def test_layers(proxy: Proxy) -> None:
    assert shown(proxy)["layers"] == ["base", "disk", "override", "admin"]


@pytest.mark.parametrize("key", [key for key in STATIC if key not in ("deep", "a.b", "text")])
def test_static_values(proxy: Proxy, key: str) -> None:
    text = STATIC[key][1]
    assert [plain(one) for one in value(proxy, key)] == [text, "", "", "", text]


def test_nested_values_have_dotted_keys(proxy: Proxy) -> None:
    assert value(proxy, "deep.er.still") == ["3", "", "", "", "3"]
    assert value(proxy, "deep") == []


def test_disk_values(proxy: Proxy) -> None:
    assert value(proxy, "a.b") == ["5", "25", "", "", "25"]
    assert value(proxy, "text") == ["hello", "from the disk", "", "", "from the disk"]
    assert value(proxy, "over") == ["", "", "1", "", "1"]
    for name in ("disk.share", "quoted", "comment"):
        text = FILES[name][1]
        assert value(proxy, name) == ["", text, "", "", text]


def test_statistics(proxy: Proxy) -> None:
    stats = proxy.stats("^runtime")
    assert stats["runtime.num_layers"] == 4
    assert stats["runtime.num_keys"] == len(shown(proxy)["entries"])
    assert stats["runtime.admin_overrides_active"] == 0
    assert stats["runtime.load_error"] == stats["runtime.deprecated_feature_use"] == 0
    assert stats["runtime.load_success"] == stats["runtime.override_dir_exists"] > 0
    assert stats["runtime.override_dir_not_exists"] == 0


@pytest.mark.parametrize("name", FRACTIONS)
def test_fractions(proxy: Proxy, name: str) -> None:
    expected = 200 if FRACTIONS[name][1] else 404
    assert [proxy.ask(f"/{name}/").status for _ in range(3)] == [expected] * 3


def test_modify(proxy: Proxy) -> None:
    before = proxy.stat("runtime.load_success")
    assert modify(proxy, "?a.b=8&new=x%20y") == (200, "OK\n")
    assert value(proxy, "a.b") == ["5", "25", "", "8", "8"]
    assert value(proxy, "new") == ["", "", "", "x y", "x y"]
    assert proxy.stat("runtime.admin_overrides_active") == 1
    assert proxy.stat("runtime.load_success") == before + 1
    assert modify(proxy, "?a.b=&new") == (200, "OK\n")
    assert value(proxy, "a.b") == ["5", "25", "", "", "25"]
    assert value(proxy, "new") == []
    assert proxy.stat("runtime.admin_overrides_active") == 0


def test_modified_values_decide_at_once(proxy: Proxy) -> None:
    assert proxy.ask("/modified/").status == 404
    for text, status in (("100", 200), ("0", 404), ("%7Bnumerator:%20100%7D", 200), ("", 404)):
        modify(proxy, f"?fraction.modified={text}")
        assert wait_for(lambda status=status: proxy.ask("/modified/").status == status), text


def test_modify_refused(proxy: Proxy) -> None:
    status, text = modify(proxy, "")
    assert status == 400
    assert text.startswith("usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n")
    assert modify(proxy, "?bad=a:%20%5B")[0] == 503
    assert value(proxy, "bad") == []
    assert proxy.admin("/runtime_modify?a=1").status == 405


def test_circuit_breakers(proxy: Proxy) -> None:
    response = proxy.ask("/to_limited")
    assert (response.status, response["x-envoy-overloaded"]) == (503, "true")
    assert "limited::default_priority::max_requests::0\n" in proxy.admin("/clusters").text
    modify(proxy, "?circuit_breakers.limited.default.max_requests=5")
    assert wait_for(lambda: proxy.ask("/to_limited").status == 200)
    assert "limited::default_priority::max_requests::5\n" in proxy.admin("/clusters").text
    modify(proxy, "?circuit_breakers.limited.default.max_requests=")


def test_maintenance(proxy: Proxy) -> None:
    response = proxy.ask("/to_kept")
    assert (response.status, response.text) == (503, "maintenance mode")
    assert response["x-envoy-overloaded"] == "true"
    assert proxy.stat("cluster.kept.upstream_rq_maintenance_mode") == 1
    assert proxy.stat("cluster.kept.upstream_rq_503") == 1
    assert proxy.stat("cluster.kept.upstream_rq_total") == 0
    modify(proxy, "?upstream.maintenance_mode.kept=0")
    assert wait_for(lambda: proxy.ask("/to_kept").status == 200)
    modify(proxy, "?upstream.maintenance_mode.kept=")


def test_the_panic_threshold(proxy: Proxy) -> None:
    """A third of the hosts is healthy: with Envoy's own 50 % that would be a panic."""
    assert [proxy.ask("/to_sick").status for _ in range(5)] == [200] * 5
    assert proxy.stat("cluster.sick.lb_healthy_panic") == 0


def test_a_moved_link_is_read_again(proxy: Proxy) -> None:
    new = proxy.directory / "new"
    new.symlink_to("v2")
    os.replace(new, proxy.directory / "current")
    assert wait_for(lambda: value(proxy, "a.b") == ["5", "26", "", "26"])
    assert shown(proxy)["layers"] == ["base", "disk", "admin"]
    assert proxy.stats("^runtime")["runtime.override_dir_not_exists"] > 0
