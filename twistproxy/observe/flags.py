"""Response flags: what went wrong, in a few letters (Envoy: config/access_log/usage#%RESPONSE_FLAGS%)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

#: In the order of Envoy's StreamInfo::CoreResponseFlag: the letters and the long name.
_FLAGS = (
    ("LH", "FailedLocalHealthCheck"),
    ("UH", "NoHealthyUpstream"),
    ("UT", "UpstreamRequestTimeout"),
    ("LR", "LocalReset"),
    ("UR", "UpstreamRemoteReset"),
    ("UF", "UpstreamConnectionFailure"),
    ("UC", "UpstreamConnectionTermination"),
    ("UO", "UpstreamOverflow"),
    ("NR", "NoRouteFound"),
    ("DI", "DelayInjected"),
    ("FI", "FaultInjected"),
    ("RL", "RateLimited"),
    ("UAEX", "UnauthorizedExternalService"),
    ("RLSE", "RateLimitServiceError"),
    ("DC", "DownstreamConnectionTermination"),
    ("URX", "UpstreamRetryLimitExceeded"),
    ("SI", "StreamIdleTimeout"),
    ("IH", "InvalidEnvoyRequestHeaders"),
    ("DPE", "DownstreamProtocolError"),
    ("UMSDR", "UpstreamMaxStreamDurationReached"),
    ("RFCF", "ResponseFromCacheFilter"),
    ("NFCF", "NoFilterConfigFound"),
    ("DT", "DurationTimeout"),
    ("UPE", "UpstreamProtocolError"),
    ("NC", "NoClusterFound"),
    ("OM", "OverloadManagerTerminated"),
    ("DF", "DnsResolutionFailed"),
    ("DO", "DropOverLoad"),
    ("DR", "DownstreamRemoteReset"),
    ("UDO", "UnconditionalDropOverload"),
)
_NAMES = [short for short, _ in _FLAGS]

LH = 1 << _NAMES.index("LH")
UH = 1 << _NAMES.index("UH")
UT = 1 << _NAMES.index("UT")
LH = 1 << _NAMES.index("LH")
LR = 1 << _NAMES.index("LR")
UR = 1 << _NAMES.index("UR")
UF = 1 << _NAMES.index("UF")
URX = 1 << _NAMES.index("URX")
IH = 1 << _NAMES.index("IH")
UMSDR = 1 << _NAMES.index("UMSDR")
UC = 1 << _NAMES.index("UC")
UO = 1 << _NAMES.index("UO")
NR = 1 << _NAMES.index("NR")
DI = 1 << _NAMES.index("DI")
FI = 1 << _NAMES.index("FI")
RL = 1 << _NAMES.index("RL")
UAEX = 1 << _NAMES.index("UAEX")
RLSE = 1 << _NAMES.index("RLSE")
DC = 1 << _NAMES.index("DC")
URX = 1 << _NAMES.index("URX")
SI = 1 << _NAMES.index("SI")
IH = 1 << _NAMES.index("IH")
DPE = 1 << _NAMES.index("DPE")
UMSDR = 1 << _NAMES.index("UMSDR")
NFCF = 1 << _NAMES.index("NFCF")
DI = 1 << _NAMES.index("DI")
FI = 1 << _NAMES.index("FI")
DT = 1 << _NAMES.index("DT")
UPE = 1 << _NAMES.index("UPE")
NC = 1 << _NAMES.index("NC")
OM = 1 << _NAMES.index("OM")
DF = 1 << _NAMES.index("DF")
DO = 1 << _NAMES.index("DO")


#: Envoy writes them in the order in which they were set.  These are always set before others: by filters, and when
#: there is no retry though there should be one.
_FIRST = ("DI", "FI", "URX", "UO")
_ORDER = sorted(range(len(_NAMES)), key=lambda bit: (_NAMES[bit] not in _FIRST, bit))


def flag_text(flags: int) -> str:
    """ "-" for none, else the letters joined with ","."""
    if not flags:
        return "-"
    return ",".join(_NAMES[bit] for bit in _ORDER if flags >> bit & 1)


def long_flag_text(flags: int) -> str:
    """The same with long names."""
    if not flags:
        return "-"
    return ",".join(_FLAGS[bit][1] for bit in _ORDER if flags >> bit & 1)


def flags_of(names: Iterable[str]) -> int:
    """The flags of these letters; what is none counts for nothing."""
    return reduce(or_, [1 << _NAMES.index(name) for name in names if name in _NAMES], 0)
