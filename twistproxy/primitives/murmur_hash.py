"""MurmurHash2 for 64 bits, as the C++ library of GCC hashes bytes (libstdc++, hash_bytes.cc): one of the two hash
functions of Envoy's hash rings."""

from __future__ import annotations

_MULTIPLIER = 0xC6A4A7935BD1E995
_MASK = 0xFFFFFFFFFFFFFFFF
#: The seed of std::hash.
_SEED = 0xC70F6907


def murmur_hash(data: bytes, seed: int = _SEED) -> int:
    """0 to 2**64 - 1."""
    size = len(data)
    whole = size & ~7
    value = seed ^ (size * _MULTIPLIER & _MASK)
    for at in range(0, whole, 8):
        word = int.from_bytes(data[at : at + 8], "little") * _MULTIPLIER & _MASK
        value = (value ^ ((word ^ (word >> 47)) * _MULTIPLIER & _MASK)) * _MULTIPLIER & _MASK
    if whole != size:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ (value >> 47)) * _MULTIPLIER & _MASK
    return value ^ (value >> 47)
