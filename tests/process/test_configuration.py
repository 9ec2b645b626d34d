"""A configuration in the process that has loaded it, and in those forked from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twistproxy.model.server_options import ServerOptions
from twistproxy.process.configuration import load_configuration, rebuild


def options(tmp_path: Path, name: str) -> ServerOptions:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"static_resources: {{clusters: [{{name: {name}, load_assignment: {{cluster_name: {name}}}}}]}}"
    )
    return ServerOptions(config_path=str(file))


def test_what_was_there_before_the_fork_is_not_built_again(tmp_path: Path) -> None:
    first = options(tmp_path, "a")
    loaded = load_configuration(first)
    assert rebuild(bytes(bytearray(loaded.serialized)), loaded.source, replace(first)) is loaded.bootstrap


def test_another_configuration_is_built(tmp_path: Path) -> None:
    first = options(tmp_path, "a")
    before = load_configuration(first)
    after = load_configuration(options(tmp_path, "b"))
    built = rebuild(before.serialized, before.source, first)
    assert built is not before.bootstrap
    assert built == before.bootstrap
    assert built != after.bootstrap


def test_other_options_may_mean_another_description(tmp_path: Path) -> None:
    first = options(tmp_path, "a")
    loaded = load_configuration(first)
    built = rebuild(loaded.serialized, loaded.source, replace(first, unsupported="warn"))
    assert built is not loaded.bootstrap
