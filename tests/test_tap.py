from __future__ import annotations

import os

import pytest

from twistproxy import __version__
from twistproxy.model.server_options import ServerOptions
from twistproxy.tap import Options
from twistproxy.transport.addresses import own_address


def parse(*words: str) -> ServerOptions:
    options = Options()
    options.parseOptions(list(words))
    return options.server_options()


def problems(capfd: pytest.CaptureFixture[str], *words: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        parse(*words)
    assert ended.value.code == 1
    output = capfd.readouterr()
    assert output.out == ""
    return output.err.splitlines()


def test_defaults_are_envoys() -> None:
    options = parse("-c", "/x/envoy.yaml")
    assert options == ServerOptions(
        config_path="/x/envoy.yaml",
        concurrency=len(os.sched_getaffinity(0)),
        drain_time=600,
        local_address=own_address(),
    )


def test_everything_can_be_said() -> None:
    options = parse(
        *("--config", "a.yaml", "--config-yaml", "{}", "--concurrency", "3", "--mode", "validate"),
        *("--drain-time-s", "5", "--service-node", "n", "--service-cluster", "c", "--service-zone", "z"),
        *("--run-dir", "r", "--unsupported", "warn", "--log-level", "warn", "--worker-reactor", "epoll"),
        *("--file-flush-interval-msec", "50"),
    )
    assert options == ServerOptions(
        config_path=os.path.abspath("a.yaml"),
        config_yaml="{}",
        concurrency=3,
        mode="validate",
        drain_time=5,
        service_node="n",
        service_cluster="c",
        service_zone="z",
        run_dir=os.path.abspath("r"),
        unsupported="warn",
        log_level="warning",
        worker_reactor="epoll",
        log_flush_interval=0.05,
        local_address=own_address(),
    )


def test_all_problems_are_told_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert problems(
        capfd, "--concurrency", "0", "--mode", "x", "--drain-time-s", "-1", "--log-level", "loud"
    ) == [
        "twistproxy: a configuration is needed: --config FILE, --config-yaml TEXT, or both",
        "twistproxy: --concurrency 0: expected a whole number, 1 or more",
        "twistproxy: --drain-time-s -1: expected a whole number, 0 or more",
        "twistproxy: --mode x: expected one of serve, validate",
        "twistproxy: --log-level loud: expected one of trace, debug, info, warning, error, critical, off, warn",
    ]


def test_unknown_options_and_arguments_are_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert problems(capfd, "--bogus") == ["twistproxy: option --bogus not recognized"]
    assert problems(capfd, "-c", "a", "b") == ["twistproxy: unexpected argument 'b'"]


def test_help_says_what_each_option_is_for(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Options().parseOptions(["--help"])
    assert not ended.value.code
    text = capfd.readouterr().out
    for name, *_, description in Options.optParameters:
        assert f"--{name}=" in text
        assert description


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Options().parseOptions(["--version"])
    assert capfd.readouterr().out == f"twistproxy {__version__}\n"
