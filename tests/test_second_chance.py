"""Which modules are run once more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FAILS = "def test_it():\n    assert False\n"
MARKED = f"import pytest\npytestmark = pytest.mark.parity\n\n{FAILS}"
BREAKS = "import pytest\n\n@pytest.mark.integration\ndef test_it(unknown_fixture):\n    pass\n"
PASSES = "def test_it():\n    pass\n"


@pytest.mark.parametrize(
    ("modules", "again"),
    [
        ({"passes": PASSES}, []),
        ({"passes": PASSES, "marked": MARKED}, ["test_marked.py"]),
        ({"breaks": BREAKS, "marked": MARKED}, ["test_breaks.py", "test_marked.py"]),
        ({"fails": FAILS, "marked": MARKED}, []),
        ({"cannot_be_read": "nonsense(", "marked": MARKED}, []),
        ({str(number): MARKED for number in range(4)}, []),
    ],
)
@pytest.mark.parametrize("processes", [(), ("--numprocesses", "2")])
def test_modules(
    tmp_path: Path, modules: dict[str, str], again: list[str], processes: tuple[str, ...]
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    parity\n    integration\n")
    for name, text in modules.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import pytest; sys.exit(pytest.main())"
    options = [
        "-p",
        "second_chance",
        "-p",
        "no:cacheprovider",
        "--again=again",
        "--basetemp=base",
        *processes,
    ]
    without = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-c", code, *options]
    subprocess.run(command, cwd=tmp_path, env=without, stdout=subprocess.DEVNULL, timeout=90)
    assert (tmp_path / "again").read_text().split() == again
