"""What the admin pages may ask of the master and tell it to do.

It lives here and not in `process` because of the import direction: `process.master_view` implements it,
and the pages' tests use a fake.  The entry that the master calls is
`admin.server.make_admin_site(master: MasterView) -> twisted.web.server.Site`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from twistproxy.model.address import Address
from twistproxy.model.server_options import ServerOptions


class ServerState(enum.IntEnum):
    """envoy.admin.v3.ServerInfo.State; the numbers are those of the gauge `server.state`."""

    LIVE = 0
    DRAINING = 1
    PRE_INITIALIZING = 2
    INITIALIZING = 3


@dataclass(frozen=True, slots=True)
class ListenerView:
    """A listener that is bound.  `address` has the kernel's port where the configuration says 0."""

    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Everything that is counted, unmerged.  A snapshot is a dict as `Runtime.snapshot` makes it: "counters",
    "gauges", "histograms", "hosts", "clusters"; each key may be missing.

    workers    one for each worker that answered in time
    discovery  the discovery process's, {} when it did not answer
    retained   "counters" and "histograms" of workers that are gone, so that sums never fall
    server     the master's own: "counters" and "gauges" such as `server.live`, `server.concurrency`,
               `server.reload_success`, `server.worker_restarts`
    """

    workers: tuple[dict[str, Any], ...] = ()
    discovery: dict[str, Any] = field(default_factory=dict)
    retained: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)


class MasterView(Protocol):
    """The master, as the admin pages see it.  Calls are made on the reactor's thread and return at once."""

    @property
    def options(self) -> ServerOptions: ...

    @property
    def state(self) -> ServerState:
        """What `/ready` and `/server_info` say.  DRAINING as well after `set_healthy(False)`, as in Envoy."""

    @property
    def start_time(self) -> float:
        """Seconds since the epoch at which the program started."""

    @property
    def config_time(self) -> float:
        """Seconds since the epoch at which the running configuration was taken into use."""

    @property
    def uptime(self) -> float:
        """Seconds since the start, from a clock that never goes back."""

    @property
    def generation(self) -> int:
        """1 at the start, one more with each reload that was taken into use."""

    @property
    def document(self) -> Any:
        """The running `config.load.Document`; its `.message` is the `envoy.config.bootstrap.v3.Bootstrap`."""

    @property
    def bootstrap(self) -> Any:
        """The running `model.bootstrap.Bootstrap`, built from `document`."""

    def collect(self) -> Deferred[Snapshots]:
        """Ask all processes for their statistics now.  Never fails; fires within two seconds: a process that
        does not answer in time is represented by the last snapshot it sent."""

    def listeners(self) -> list[ListenerView]:
        """The listeners that are open, in the order of the configuration."""

    def processes(self) -> dict[str, int]:
        """Process ids by name: "master", "template", "discovery", "worker 0" …; those running now."""

    def set_healthy(self, healthy: bool) -> None:
        """`/healthcheck/ok` and `/healthcheck/fail`: told to all workers, and to those that start later."""

    def drain_listeners(self, inbound_only: bool = False, graceful: bool = False) -> None:
        """`/drain_listeners`: stop accepting on (inbound) listeners; `graceful` announces the drain first and
        closes them when the drain time has passed."""

    def log_levels(self) -> dict[str, str]:
        """Level by logger name ("trace debug info warning error critical off")."""

    def set_log_level(self, level: str, logger: str = "") -> None:
        """Of all loggers, or of one; in all processes.  ValueError for an unknown level or logger."""

    def reset_counters(self) -> None:
        """`/reset_counters`: all counters and histograms of all processes start at 0 again."""

    def quit(self) -> None:
        """`/quitquitquit`: stop now, without a drain."""
