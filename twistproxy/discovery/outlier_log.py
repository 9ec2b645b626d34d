"""The event log of outlier detection: one line of JSON for each ejection and return
(envoy.data.cluster.v3.OutlierDetectionEvent), in bootstrap's cluster_manager.outlier_detection.event_log_path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any


class EventLog:
    """`wall`: seconds since the epoch.  `write`: takes the lines; None, as at first: there is no log."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.write: Callable[[bytes], None] | None = None

    def event(
        self,
        action: str,
        cluster: str,
        address: str,
        *,
        kind: str = "CONSECUTIVE_5XX",
        ejections: int,
        enforced: bool = False,
        seconds: int | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """`seconds`: since what happened to this host before.  `details`: more fields, at the end."""
        if self.write is None:
            return
        line: dict[str, Any] = {"type": kind, "timestamp": self._timestamp()}
        if seconds is not None:
            line["secs_since_last_action"] = str(seconds)
        line |= {
            "cluster_name": cluster,
            "upstream_url": address,
            "action": action,
            "num_ejections": ejections,
            "enforced": enforced,
            **(details or {}),
        }
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        self.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def _timestamp(self) -> str:
        """A google.protobuf.Timestamp in milliseconds; a whole second has no fraction."""
        milliseconds = int(self._wall() * 1000)
        moment = datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fraction = milliseconds % 1000
        return f"{moment}.{fraction:03d}Z" if fraction else f"{moment}Z"
