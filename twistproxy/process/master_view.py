"""The master as the admin pages see it: an alias for the interface, which is in `admin.master_view` because `admin`
is below `process`."""

from __future__ import annotations

from twistproxy.admin.master_view import ListenerView, MasterView, ServerState, Snapshots

__all__ = ["ListenerView", "MasterView", "ServerState", "Snapshots"]
