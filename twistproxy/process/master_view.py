"""`MasterView`: the master as the admin pages see it.  It implements `admin.view.AdminView`, which is the
interface.

Besides what `AdminView` names it has `reset_counters()` (POST /reset_counters: all counters and histograms of
all processes start at 0 again).  The master calls `admin.server.make_admin_site(view, settings) -> Site`-like
entry.
"""

from __future__ import annotations
