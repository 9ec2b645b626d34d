"""`twistd twistproxy` whose workers have the data plane of `fake_plane`.  Arguments: twistd's.

Settings of the processes are replaced by the JSON object in FAKE_SETTINGS.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from twisted.scripts.twistd import run

from twistproxy import tap
from twistproxy.process.settings import ProcessSettings


def settings(options):
    chosen = json.loads(os.environ.get("FAKE_SETTINGS", "{}"))
    return replace(ProcessSettings(options, worker_main="fake_plane.main"), **chosen)


tap.process_settings = settings
run()
