"""The same tests hold where the C module could not be built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import sys
sys.modules["twistproxy.codec._h1"] = None
import pytest
from twistproxy.codec import h1_parse
assert not h1_parse.COMPILED
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.timeout(300)
def test_data_plane_without_the_c_module() -> None:
    here = Path(__file__).parent
    files = [str(here / name) for name in ("test_requests.py", "test_faults.py", "test_splits.py")]
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT, "-q", "-p", "no:cacheprovider", *files],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
