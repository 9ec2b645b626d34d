"""`--again FILE`: writes there the modules that may be run once more, alone on the machine.

Tests of real programs live by the clock: when the machine has no time for them, one of thousands fails, mostly on Envoy
just as on twistproxy.  So a failure there is worth a second look, where there is no other load; both runs are printed.
A failure of any other test is one, and so are failures in many modules at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_MARKS = {"parity", "integration"}
_MOST_MODULES = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--again", type=Path, metavar="FILE", help="write modules that are worth a second run there"
    )


class SecondChance:
    """Collects the modules in which something failed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._modules: set[str] = set()
        self._certain = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._modules.add(report.nodeid.partition("::")[0])
            self._certain |= not _MARKS & set(report.keywords)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._certain |= report.failed

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        only_tests_failed = exitstatus == pytest.ExitCode.TESTS_FAILED
        worth_it = only_tests_failed and not self._certain and len(self._modules) <= _MOST_MODULES
        self._file.write_text("".join(f"{module}\n" for module in sorted(self._modules)) if worth_it else "")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("again")
    if file is not None and not hasattr(
        config, "workerinput"
    ):  # the reports of xdist's workers come to their master
        config.pluginmanager.register(SecondChance(file), "second_chance_of_modules")
