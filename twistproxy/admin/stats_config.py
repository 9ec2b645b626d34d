"""What `stats_config` says, ready to be asked about names."""

from __future__ import annotations

from collections.abc import Sequence

from twistproxy.model.statistics import StatsSettings
from twistproxy.observe.histogram import DEFAULT_BOUNDS
from twistproxy.observe.stat_names import TagExtractor


class StatsConfig:
    """Made once for a configuration: it remembers what it has found out about a name.

    extract  the tags of a full name (`observe.stat_names`)
    """

    def __init__(self, settings: StatsSettings | None = None) -> None:
        self._settings = settings or StatsSettings()
        self.extract = TagExtractor(self._settings.tags, self._settings.default_tags).extract
        self._shown: dict[str, bool] = {}

    def shows(self, name: str) -> bool:
        """Whether there is a statistic of that name."""
        matching = self._settings.shown
        if matching is None:
            return True
        found = self._shown.get(name)
        if found is None:
            value = name.encode()
            matches = any(one.matches(value) for one in matching.matchers)
            found = self._shown[name] = matches != matching.inverted
        return found

    def bounds(self, name: str) -> Sequence[float]:
        """The upper bounds of a histogram's buckets."""
        value = name.encode()
        for rule in self._settings.buckets:
            if rule.match.matches(value):
                return rule.bounds
        return DEFAULT_BOUNDS


#: Where nothing is configured.
PLAIN = StatsConfig()
