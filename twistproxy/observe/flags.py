"""Response flags: what went wrong, in a few letters (Envoy: config/access_log/usage#%RESPONSE_FLAGS%)."""

from __future__ import annotations

_NAMES = [
    "LH",
    "UH",
    "UT",
    "LR",
    "UR",
    "UF",
    "UC",
    "UO",
    "NR",
    "DI",
    "FI",
    "RL",
    "UAEX",
    "RLSE",
    "DC",
    "URX",
    "SI",
    "IH",
    "DPE",
    "UMSDR",
    "RFCF",
    "NFCF",
    "DT",
    "UPE",
    "NC",
    "OM",
    "DF",
    "DO",
    "DR",
    "UDO",
]

UH = 1 << _NAMES.index("UH")
UT = 1 << _NAMES.index("UT")
LR = 1 << _NAMES.index("LR")
UR = 1 << _NAMES.index("UR")
UF = 1 << _NAMES.index("UF")
UC = 1 << _NAMES.index("UC")
UO = 1 << _NAMES.index("UO")
NR = 1 << _NAMES.index("NR")
DC = 1 << _NAMES.index("DC")
SI = 1 << _NAMES.index("SI")
DPE = 1 << _NAMES.index("DPE")
DT = 1 << _NAMES.index("DT")
UPE = 1 << _NAMES.index("UPE")
NC = 1 << _NAMES.index("NC")


def flag_text(flags: int) -> str:
    """ "-" for none, else the letters joined with ","."""
    if not flags:
        return "-"
    return ",".join(name for bit, name in enumerate(_NAMES) if flags >> bit & 1)
