from __future__ import annotations

import json
from pathlib import Path

import pytest

from twistproxy import __version__
from twistproxy.cli import main

_GOOD = "static_resources: {}\n"
_BAD = "static_resources:\n  listenerz: []\n  clusters: {}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "envoy.yaml"


def test_check_accepts(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(_GOOD)
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr() == (f"configuration '{file}' OK\n", "")


def test_check_tells_every_problem_with_its_place(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(_BAD)
    assert main(["check", str(file)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{file}:") for line in lines)
    assert 'did you mean "listeners"' in lines[0]


def test_check_of_a_missing_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(file)]) == 1
    assert capsys.readouterr().err == f"{file}: cannot read it: No such file or directory\n"


LISTENER = """
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s
          access_log:
          - name: file
            typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: LOG}
          route_config:
            virtual_hosts:
            - {name: v, domains: [a], routes: [{match: {prefix: /}, direct_response: {status: 204}}]}
          http_filters:
          - name: r
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""


def test_explain_needs_no_running_proxy(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = file.with_name("log")
    file.write_text(LISTENER.replace("LOG", str(log)))
    assert main(["explain", "--config", str(file), "http://a/x", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["reply"]["status"] == 204
    assert main(["explain", "--config", str(file), "--host", "b", "/x", "-H", "x: 1", "-X", "PUT"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("PUT /x on host 'b' is answered 404 by the proxy itself")
    assert not log.exists()


def test_explain_refuses(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(LISTENER.replace("LOG", "/dev/null"))
    assert main(["explain", "--config", str(file), "--listener", "other", "/x"]) == 1
    assert "no listener is called 'other'" in capsys.readouterr().out
    assert main(["explain", "--config", str(file), "/x", "-H", "nonsense"]) == 2
    file.write_text(_BAD)
    assert main(["explain", "--config", str(file), "/x"]) == 1


def test_convert_prints_v3_and_says_what_means_something_else(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream = {"name": "c", "type": "static", "lb_type": "round_robin", "connect_timeout_ms": 250}
    clusters = [{**upstream, "hosts": [{"url": "tcp://127.0.0.1:80"}]}]
    v1 = {"listeners": [], "admin": {"address": "tcp://127.0.0.1:9901", "access_log_path": "/dev/null"}}
    file.write_text(json.dumps({**v1, "cluster_manager": {"clusters": clusters}}))
    assert main(["convert", str(file)]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("admin:\n")
    assert output.err
    file.write_text(output.out)
    assert main(["check", str(file)]) == 0


@pytest.mark.parametrize("text", ["{", None])
def test_convert_refuses(file: Path, text: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if text is not None:
        file.write_text(text)
    assert main(["convert", str(file)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(str(file))


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"twistproxy {__version__}\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for command in ("run", "check", "convert", "demo", "sds"):
        assert f"    {command} " in text


def test_sds_tells_a_bad_option_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sds", "--file", "a", "--kubernetes", "http://b"]) == 1
    assert capsys.readouterr().err == "twistproxy sds: --file and --kubernetes exclude each other\n"
