"""Connections that the firewall redirects: the listener filter `original_dst` and `use_original_dst`.

Needs root, for a network namespace of its own with its own rules (`redirected.py` runs in it), and iptables.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import ENGINES

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("iptables") or not shutil.which("unshare"),
        reason="needs root, unshare and iptables",
    ),
]
UNREACHED = (
    "503 upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
)
NOWHERE = "503 no healthy upstream"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_redirected(engine: str, workers: int, tmp_path: Path) -> None:
    """Listener and target → the answer.  The targets beside the origin are listeners that are not bound."""
    script = Path(__file__).with_name("redirected.py")
    command = ["unshare", "--net", sys.executable, str(script), engine, str(workers), str(tmp_path)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60).stdout)
    assert found == {
        "restoring origin": "200 hello",
        "restoring unbound": UNREACHED,
        "restoring anywhere": UNREACHED,
        "handing_off origin": "200 hello",
        "handing_off unbound": "200 unbound",
        "handing_off anywhere": "200 anywhere",
        "plain origin": NOWHERE,
        "plain unbound": NOWHERE,
        "plain anywhere": NOWHERE,
        "restored in the log": 3,
        "connections of unbound": 1,
        "connections of anywhere": 1,
        "connections of handing_off": 1,
        "hosts": 3,
    }
