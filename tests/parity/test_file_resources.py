"""Listeners, clusters and routes from files: filesystem subscriptions of LDS, CDS and RDS."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .settings import Config, access_log, answering, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

CONCURRENCY = (1, 2)
TYPES = "type.googleapis.com/envoy."
LISTENER = TYPES + "config.listener.v3.Listener"
CLUSTER = TYPES + "config.cluster.v3.Cluster"
ROUTES = TYPES + "config.route.v3.RouteConfiguration"
WRAPPED = TYPES + "service.discovery.v3.Resource"


def write(proxy: Proxy, name: str, *resources: Config) -> Config:
    """Move a file over the one of this name; gives the source that names it."""
    path = proxy.directory / f"{name}.json"
    new = proxy.directory / f"{name}.new"
    new.write_text(json.dumps({"version_info": "1", "resources": list(resources)}))
    new.rename(path)
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def routes(name: str, *hosts: Config) -> Config:
    return {"@type": ROUTES, "name": name, "virtual_hosts": list(hosts)}


def to(name: str, domain: str, cluster_name: str) -> Config:
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster_name}}
    return {"name": name, "domains": [domain], "routes": [route]}


def from_file(made: Config, source: Config, name: str) -> Config:
    """The listener with `rds` in place of its routes."""
    manager = made["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["route_config"]
    manager["rds"] = {"route_config_name": name, "config_source": source}
    return made


def configure(proxy: Proxy) -> Config:
    app = {"@type": CLUSTER, **cluster("app", proxy.origin().port)}
    wrapped = {"@type": WRAPPED, "name": "late", "version": "7", "resource": {**app, "name": "late"}}
    clusters = write(proxy, "cds", app, wrapped)
    first, second = write_routes(proxy)
    log = [
        access_log(proxy.log().path, "path=%REQ(:PATH)%\troute=%ROUTE_NAME%\tcluster=%UPSTREAM_CLUSTER%\n")
    ]
    lists = [
        {"@type": LISTENER, **listener("main", proxy.port(), [to("all", "*", "app")], access_log=log)},
        {"@type": LISTENER, **from_file(listener("ruled", proxy.port("ruled"), []), first, "first")},
    ]
    static = from_file(listener("static", proxy.port("static"), []), second, "second")
    config = bootstrap(proxy.port("admin"), [static], [cluster("own", proxy.origin("own").port)])
    config["dynamic_resources"] = {"lds_config": write(proxy, "lds", *lists), "cds_config": clusters}
    config["node"] = {"id": "n", "cluster": "c"}
    return config


def write_routes(proxy: Proxy, **changed: Any) -> tuple[Config, Config]:
    first = changed.get("first") or [
        to("late", "late", "late"),
        to("own", "own", "own"),
        to("no", "no", "none"),
    ]
    second = routes("second", answering("said", "*"))
    return write(proxy, "rds", routes("first", *first)), write(proxy, "rds2", second)


def test_listener_and_cluster(proxy: Proxy) -> None:
    assert proxy.ask("/here").status == 200
    assert proxy.origin().take().target == "/here"
    assert proxy.log().fields("/here")["cluster"] == "app"


@pytest.mark.parametrize(("host", "status"), [("late", 200), ("own", 200), ("no", 503), ("other", 404)])
def test_routes(proxy: Proxy, host: str, status: int) -> None:
    """Clusters that are not there are no mistake in such routes."""
    assert proxy.ask("/", "ruled", host=host).status == status


def test_routes_of_a_static_listener(proxy: Proxy) -> None:
    assert proxy.ask("/", "static").body == b"said"


def test_pages(proxy: Proxy) -> None:
    listeners = proxy.admin("/listeners").text
    assert all(f"{name}::127.0.0.1:{proxy.port(name)}" in listeners for name in ("main", "ruled", "static"))
    clusters = proxy.admin("/clusters").text
    assert all(f"{name}::observability_name::{name}" in clusters for name in ("app", "late", "own"))


def test_changes(proxy: Proxy) -> None:
    """Behind the others, because it changes what is there: routes, then a cluster, then a listener come and go."""
    write_routes(proxy, first=[answering("changed", "*")])
    assert wait_for(lambda: proxy.ask("/", "ruled").body == b"changed")
    app = {"@type": CLUSTER, **cluster("app", proxy.origin("other").port)}
    late = {"@type": CLUSTER, **cluster("late", proxy.origin().port)}
    write(proxy, "cds", app, late)
    assert wait_for(lambda: proxy.ask("/moved").status == 200 and not proxy.origin("other").queue.empty())
    main = {"@type": LISTENER, **listener("main", proxy.port(), [answering("new", "*")])}
    more = {"@type": LISTENER, **listener("more", proxy.port("more"), [answering("more", "*")])}
    write(proxy, "lds", main, more)
    assert wait_for(lambda: proxy.ask("/").body == b"new")
    assert wait_for(lambda: b"ruled::" not in proxy.admin("/listeners").body)
    assert proxy.ask("/", "more").body == b"more"


def main_answers(proxy: Proxy, word: str) -> None:
    write(proxy, "lds", {"@type": LISTENER, **listener("main", proxy.port(), [answering(word, "*")])})


def test_a_file_that_is_wrong_changes_nothing(proxy: Proxy) -> None:
    app = {"@type": CLUSTER, **cluster("app", proxy.origin("other").port)}
    write(proxy, "cds", app)
    main_answers(proxy, "before")
    assert wait_for(lambda: proxy.ask("/").body == b"before")
    write(proxy, "lds", {"@type": CLUSTER, "name": "no listener"})
    write(proxy, "cds", {"@type": CLUSTER, "name": ""})
    time.sleep(0.3)
    assert proxy.ask("/").body == b"before"
    assert "app::observability_name::app" in proxy.admin("/clusters").text
    write(proxy, "cds", app)
    main_answers(proxy, "after")
    assert wait_for(lambda: proxy.ask("/").body == b"after")
