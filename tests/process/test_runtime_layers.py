"""The runtime's layers in the master: reading, watching, modifying."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from twistproxy.discovery.file_watch import POLL_INTERVAL, FileWatcher
from twistproxy.errors import ConfigError
from twistproxy.model.runtime import AdminLayer, DiskLayer, LayerValue, RuntimeLayer, StaticLayer
from twistproxy.process.runtime_layers import NoAdminLayer, RuntimeLayers, read_directory

BASE = StaticLayer("base", {"a": LayerValue(1, "1"), "b": LayerValue(2, "2")})
ADMIN = AdminLayer("admin")


class World:
    def __init__(self, *settings: RuntimeLayer) -> None:
        self.clock = Clock()
        self.told: list[dict[str, Any]] = []
        self.layers = RuntimeLayers(self.clock, lambda: self.told.append(self.layers.values))
        # Without inotify: a change is seen when the time to look has come.
        self.layers._watcher = FileWatcher(self.clock, _NoLog(), lambda reactor: None)  # type: ignore[arg-type]
        self.layers.use(settings)

    def finish(self) -> None:
        self.layers.stop()
        assert self.clock.getDelayedCalls() == []


class _NoLog:
    def debug(self, *args: Any, **kwargs: Any) -> None: ...


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_last_layer_wins() -> None:
    world = World(BASE, StaticLayer("more", {"b": LayerValue(3, "3")}), ADMIN)
    assert world.layers.values == {"a": 1, "b": 3}
    world.layers.modify({"b": "4", "c": "{numerator: 1}"})
    assert world.layers.values == world.told[-1] == {"a": 1, "b": 4, "c": {"numerator": 1}}
    assert world.layers.gauges == {
        "runtime.admin_overrides_active": 1,
        "runtime.num_keys": 3,
        "runtime.num_layers": 3,
    }
    world.layers.modify({"b": "", "c": "", "never set": ""})
    assert world.layers.values == {"a": 1, "b": 3}
    assert world.layers.gauges["runtime.admin_overrides_active"] == 0
    world.finish()


def test_without_an_admin_layer_nothing_is_modified() -> None:
    world = World(BASE)
    with pytest.raises(NoAdminLayer):
        world.layers.modify({"a": "5"})
    assert world.layers.values == {"a": 1, "b": 2}
    world.finish()


def test_a_value_that_is_no_yaml() -> None:
    world = World(BASE, ADMIN)
    with pytest.raises(ConfigError):
        world.layers.modify({"a": "5", "b": "x: ["})
    assert world.layers.values == {"a": 5, "b": 2}
    world.finish()


def test_overrides_outlive_a_reload() -> None:
    world = World(BASE, ADMIN)
    world.layers.modify({"a": "7"})
    new = (StaticLayer("new", {"a": LayerValue(1, "1"), "z": LayerValue(9, "9")}), ADMIN)
    assert world.layers.values_of(new) == {"a": 7, "z": 9}
    assert world.layers.values == {"a": 7, "b": 2}
    world.layers.use(new)
    assert world.layers.values == {"a": 7, "z": 9}
    world.layers.use((BASE,))
    assert world.layers.values == {"a": 1, "b": 2}
    world.finish()


def test_directories(tmp_path: Path) -> None:
    write(tmp_path / "v1" / "a" / "b", "5\n")
    write(tmp_path / "v1" / "c", "# a comment\n\nhello  \n")
    write(tmp_path / "v1" / "only_a_comment", "# nothing\n")
    write(tmp_path / "v1" / "share", "numerator: 1\ndenominator: MILLION\n")
    (tmp_path / "v1" / "link").symlink_to("c")
    found = read_directory(str(tmp_path / "v1"))
    assert {key: value.value for key, value in found.items()} == {
        "a.b": 5,
        "c": "hello",
        "link": "hello",
        "only_a_comment": "",
        "share": {"numerator": 1, "denominator": "MILLION"},
    }
    assert found["share"].text == "numerator: 1\ndenominator: MILLION"


def test_a_directory_is_read_again_when_its_link_is_moved(tmp_path: Path) -> None:
    write(tmp_path / "v1" / "sub" / "a", "5")
    write(tmp_path / "v2" / "sub" / "a", "6")
    link, new = tmp_path / "current", tmp_path / "new"
    link.symlink_to("v1")
    world = World(BASE, DiskLayer("disk", str(link), f"{link}/sub"))
    assert world.layers.values == {"a": 5, "b": 2}
    write(tmp_path / "v1" / "sub" / "a", "7")
    world.clock.advance(POLL_INTERVAL)
    assert world.layers.values["a"] == 5
    new.symlink_to("v2")
    os.replace(new, link)
    world.clock.advance(POLL_INTERVAL)
    assert world.layers.values["a"] == world.told[-1]["a"] == 6
    world.layers.use((BASE,))
    world.finish()


def test_a_directory_that_is_not_there_is_no_layer(tmp_path: Path) -> None:
    world = World(BASE, DiskLayer("disk", str(tmp_path / "no"), str(tmp_path / "no")), ADMIN)
    assert [layer.name for layer in world.layers.layers] == ["base", "admin"]
    assert world.layers.counters["runtime.load_success"] == 1
    assert world.layers.counters["runtime.override_dir_not_exists"] == 1
    world.finish()


def test_a_directory_with_a_file_that_is_no_yaml_is_no_layer(tmp_path: Path) -> None:
    write(tmp_path / "v" / "good", "1")
    write(tmp_path / "v" / "bad", "a: [")
    world = World(BASE, DiskLayer("disk", str(tmp_path / "v"), str(tmp_path / "v")))
    assert [layer.name for layer in world.layers.layers] == ["base"]
    assert world.layers.counters["runtime.load_error"] == 1
    assert world.layers.counters["runtime.load_success"] == 0
    world.finish()


def test_two_directories_count_as_an_override(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    disks = [DiskLayer(name, str(tmp_path / "v"), str(tmp_path / "v")) for name in "ab"]
    world = World(*disks)
    assert world.layers.counters["runtime.override_dir_exists"] == 1
    world.finish()


def test_directories_are_not_followed_for_ever(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(OSError, match="more than 16 directories deep"):
        read_directory(str(tmp_path))
