"""The `proxy` fixture: each test module runs once on Envoy and once on twistproxy.

A module about what twistproxy does not implement yet says so with `REFUSED`, the paths of the fields that twistproxy
refuses: its tests run on Envoy only, and one test of its own checks that refusal.  A module in which it can make a
difference how many workers there are has `CONCURRENCY`, and runs once with each.  One about
what Envoy does not have at all says with `ENGINES` that it runs on twistproxy only.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .harness import ENGINES, Proxy
from .workers import Workers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "proxy" in metafunc.fixturenames:
        engines = ("envoy",) if hasattr(metafunc.module, "REFUSED") else ENGINES
        engines = getattr(metafunc.module, "ENGINES", engines)
        workers = getattr(metafunc.module, "CONCURRENCY", (1,))
        both = [(engine, count) for engine in engines for count in workers]
        ids = [engine if count == 1 else f"{engine}-{count}w" for engine, count in both]
        metafunc.parametrize("proxy", both, indirect=True, scope="module", ids=ids)


@pytest.fixture(scope="module")
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The engine on what the module's `configure(proxy)` returns, one start for the whole module."""
    engine, concurrency = request.param
    running = Proxy(engine, tmp_path_factory.mktemp(engine), concurrency)
    try:
        running.start(request.module.configure(running))
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def workers(proxy: Proxy) -> Iterator[Workers]:
    """The engine's workers one by one."""
    made = Workers(proxy)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _fresh_origins(request: pytest.FixtureRequest) -> None:
    """What an earlier test left behind must not confuse the next one."""
    if "proxy" in request.fixturenames:
        for origin in request.getfixturevalue("proxy").origins.values():
            origin.forget()
