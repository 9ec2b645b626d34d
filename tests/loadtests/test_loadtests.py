"""The load tests: reports from canned figures, and one second of the real thing."""

from __future__ import annotations

import io
import json
import os
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.__main__ import main
from loadtests.chart import draw
from loadtests.generator import LoadResult, parse_h2load_log, parse_wrk, percentile
from loadtests.processes import _resident_of_files, tree_memory_kib, tree_pss_kib
from loadtests.progress import Progress
from loadtests.report import Report, as_json, as_text, make_report, median_ratio
from loadtests.scenarios import SCENARIOS
from loadtests.session import Run
from loadtests.tools import LoadTestError, find_program

pytestmark = pytest.mark.integration

_RUN = Run("keepalive", "envoy", 0, 20000.0, 40.0, 1.0, 2.0, 40 * 1024, 0)


def _report(**changed: float) -> Report:
    runs = [
        _RUN,
        replace(_RUN, round=1, cpu_us=80.0),
        replace(_RUN, round=2, cpu_us=50.0),
        replace(_RUN, peer="twistproxy", cpu_us=20.0),
        replace(_RUN, peer="twistproxy", round=1, cpu_us=48.0),
        replace(_RUN, peer="twistproxy", round=2, cpu_us=30.0, **changed),  # type: ignore[arg-type]
        replace(_RUN, peer="twisted.web.proxy", cpu_us=300.0, errors=3),
    ]
    peers = ["twistproxy", "envoy", "nginx", "twisted.web.proxy"]
    return make_report(
        runs, [SCENARIOS["keepalive"]], peers, "envoy", {"date": "today"}, {"nginx": "no port"}
    )


def test_a_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    envoy = [replace(_RUN, round=number, cpu_us=cost) for number, cost in enumerate((40.0, 80.0, 50.0))]
    ours = [replace(_RUN, round=number, cpu_us=cost) for number, cost in enumerate((20.0, 48.0, 30.0))]
    assert median_ratio(ours, envoy, "cpu_us") == pytest.approx(0.6)  # of the medians it would be 30/50 too
    assert median_ratio(ours[:2], envoy, "cpu_us") == pytest.approx(0.55)  # of the medians: 34/50
    assert median_ratio([replace(_RUN, round=7)], envoy, "cpu_us") is None


def test_targets_are_judged_as_printed() -> None:
    (verdict,) = _report().verdicts
    assert verdict.ratio == pytest.approx(0.6)
    assert (verdict.target, verdict.met) == (0.70, True)
    (verdict,) = make_report(
        [_RUN, replace(_RUN, peer="twistproxy", cpu_us=28.3)],
        [SCENARIOS["keepalive"]],
        ["twistproxy", "envoy"],
        "envoy",
        {},
        {},
    ).verdicts
    assert not verdict.met


def test_the_table_has_every_peer_and_the_failure() -> None:
    text = as_text(_report())
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith("  t")}
    assert lines["twistproxy"][1:5] == ["20000", "30.0", "20.0", "0.60"]
    assert lines["twisted.web.proxy"][4] == "7.50"
    assert lines["twisted.web.proxy"][-1] == "3"
    assert "nginx failed: no port" in text
    assert "0.60 (0.50 to 0.60; of the best 0.50)  at most 0.70  met\n" in text


def test_a_peer_below_the_offered_rate_is_marked() -> None:
    assert "below the offered rate" not in as_text(_report(offered_rate=20100.0))
    assert "below the offered rate" in as_text(_report(offered_rate=30000.0))


def test_json_has_medians_verdicts_and_single_runs() -> None:
    data = json.loads(json.dumps(as_json(_report())))
    assert [peer["peer"] for peer in data["scenarios"][0]["peers"]] == [
        "twistproxy",
        "envoy",
        "twisted.web.proxy",
    ]
    assert data["verdicts"][0]["met"] is True
    assert len(data["runs"]) == 7


def test_the_chart_is_svg_with_bars_in_proportion_and_the_longest_cut() -> None:
    root = ElementTree.fromstring(draw(_report()))
    svg = "{http://www.w3.org/2000/svg}"
    bars = [float(bar.attrib["width"]) for bar in root.iter(f"{svg}rect")][1:]
    assert bars[0] / bars[1] == pytest.approx(30 / 50, rel=0.01)
    assert bars[2] / bars[1] == pytest.approx(2.2, rel=0.01)
    assert len(list(root.iter(f"{svg}polygon"))) == 1
    texts = "".join(text.text or "" for text in root.iter(f"{svg}text"))
    assert "×0.60" in texts
    assert "300  ×7.50" in texts


def test_generators_output_is_read() -> None:
    line = (
        '{"requests": 100, "duration_s": 2.0, "p50_ms": 1.5, "p99_ms": 3.5, "failed_connections": 1, '
        '"failed_statuses": 2}'
    )
    assert parse_wrk(f"Running 2s test\n\n{line}\n") == LoadResult(100, 2.0, 1.5, 3.5, 3)
    with pytest.raises(LoadTestError, match="no result"):
        parse_wrk("unable to connect")
    log = "".join(f"1\t200\t{number * 1000}\n" for number in range(1, 100)) + "1\t503\t5\n1\t-1\t5\n"
    assert parse_h2load_log(log, 2.0) == LoadResult(99, 2.0, 50.0, 99.0, 2)
    assert percentile([], 0.99) == 0.0


def test_progress_is_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream, 2)
    with progress.run("one", 1.0) as outcome:
        outcome.append("fine")
    with pytest.raises(ValueError, match="broken"), progress.run("two", 1.0):
        raise ValueError("broken")
    assert stream.getvalue() == "[1/2] one  fine\n[2/2] two  did not finish\n"


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtests.tools.PACKAGES", {"wrkk": "Debian package wrkk"})
    with pytest.raises(LoadTestError, match=r"wrkk is not installed \(Debian package wrkk\)"):
        find_program("wrkk")


def test_pages_of_files_count_without_private_copies_and_anonymous_memory_does_not() -> None:
    smaps = """\
55d0-55d1 r-xp 00001000 fe:00 4711                       /usr/bin/some program
Size:                 40 kB
Rss:                  30 kB
Pss:                  10 kB
Anonymous:             4 kB
VmFlags: rd ex
7f00-7f01 rw-p 00000000 00:00 0                          [heap]
Rss:                 500 kB
Anonymous:           500 kB
"""
    assert list(_resident_of_files(smaps)) == [(("fe:00", "4711", "00001000"), 26)]


def test_the_memory_of_a_tree_is_there() -> None:
    assert 5_000 < tree_pss_kib(os.getpid()) <= tree_memory_kib(os.getpid()) * 1.02 < 2_000_000


def test_one_second_of_envoy_and_nginx(tmp_path: Path) -> None:
    files = {kind: tmp_path / f"out.{kind}" for kind in ("json", "chart", "text")}
    options = [f"--{kind}={file}" for kind, file in files.items()]
    options += ["--peers=envoy,nginx", "--scenarios=keepalive", "--duration=1", "--repeat=1"]
    assert main(options) == 0
    data = json.loads(files["json"].read_text())
    nginx, envoy = sorted(data["runs"], key=lambda run: str(run["peer"]), reverse=True)
    for run in (nginx, envoy):
        assert run["errors"] == 0
        assert run["rate"] > 100
        assert run["memory_kib"] > 1000
    # nginx takes far less than Envoy; the figures cannot be mixed up, whatever the machine does meanwhile.
    assert 0 < nginx["cpu_us"] < envoy["cpu_us"]
    assert "nginx" in files["text"].read_text()
    ElementTree.fromstring(files["chart"].read_text())
