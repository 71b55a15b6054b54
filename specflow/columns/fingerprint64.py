"""Fingerprint64, the hash of TensorFlow's hash buckets.

The same text has the same bucket as in `tf.strings.to_hash_bucket_fast`, on any
platform and in any version of Python.

Source: Pike, FarmHash, 2014: the function `farmhashna::Hash64`.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["bucket_of", "fingerprint64", "joined_fingerprints", "text_fingerprint"]

Fingerprints = npt.NDArray[np.uint64]
_MASK = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def fingerprint64(content: bytes) -> int:
    """Hashes bytes to an integer in [0, 2**64).

    >>> fingerprint64(b"") == 0x9AE16A3B2F90404F
    True
    """
    size = len(content)
    if size <= 16:
        return _up_to_16(content, size)
    if size <= 32:
        return _up_to_32(content, size)
    if size <= 64:
        return _up_to_64(content, size)
    return _long(content, size)


def bucket_of(text: str, buckets: int) -> int:
    """Bucket of a text, in [0, buckets), as `tf.strings.to_hash_bucket_fast`.

    >>> bucket_of("green", 10)
    4
    """
    return text_fingerprint(text) % buckets


def text_fingerprint(text: str) -> int:
    """Hashes the UTF-8 bytes of a text to an integer in [0, 2**64)."""
    return fingerprint64(text.encode("utf-8", "surrogatepass"))


def joined_fingerprints(first: Fingerprints, second: Fingerprints) -> Fingerprints:
    """Hashes pairs of hashes, as `FingerprintCat64` of TensorFlow does.

    >>> int(joined_fingerprints(np.uint64([1]), np.uint64([2]))[0]) % 1_000
    252
    """
    multiplier, shift = np.uint64(0xC6A4A7935BD1E995), np.uint64(47)
    with np.errstate(over="ignore"):
        mixed = second * multiplier
        mixed = (mixed ^ (mixed >> shift)) * multiplier
        joined = ((first ^ multiplier) ^ mixed) * multiplier
        joined = (joined ^ (joined >> shift)) * multiplier
    return joined ^ (joined >> shift)


def _word(content: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(content[at : at + size], "little")


def _rotated(value: int, by: int) -> int:
    value &= _MASK
    return ((value >> by) | (value << (64 - by))) & _MASK


def _shifted(value: int) -> int:
    value &= _MASK
    return value ^ (value >> 47)


def _mixed(low: int, high: int, multiplier: int) -> int:
    """Hashes 16 bytes to 8."""
    first = _shifted((low ^ high) * multiplier)
    return _shifted((high ^ first) * multiplier) * multiplier & _MASK


def _up_to_16(content: bytes, size: int) -> int:
    multiplier = _K2 + size * 2
    if size >= 8:
        first, last = _word(content, 0) + _K2, _word(content, size - 8)
        low = _rotated(last, 37) * multiplier + first
        high = (_rotated(first, 25) + last) * multiplier
        return _mixed(low & _MASK, high & _MASK, multiplier)
    if size >= 4:
        low = size + (_word(content, 0, 4) << 3)
        return _mixed(low, _word(content, size - 4, 4), multiplier)
    if size:
        low = content[0] + (content[size >> 1] << 8)
        high = size + (content[-1] << 2)
        return _shifted((low * _K2) ^ (high * _K0)) * _K2 & _MASK
    return _K2


def _up_to_32(content: bytes, size: int) -> int:
    multiplier = _K2 + size * 2
    a, b = _word(content, 0) * _K1, _word(content, 8)
    c, d = _word(content, size - 8) * multiplier, _word(content, size - 16) * _K2
    low = _rotated(a + b, 43) + _rotated(c, 30) + d
    high = a + _rotated(b + _K2, 18) + c
    return _mixed(low & _MASK, high & _MASK, multiplier)


def _up_to_64(content: bytes, size: int) -> int:
    multiplier = _K2 + size * 2
    a, b = _word(content, 0) * _K2, _word(content, 8)
    c, d = _word(content, size - 8) * multiplier, _word(content, size - 16) * _K2
    y = _rotated(a + b, 43) + _rotated(c, 30) + d & _MASK
    z = _mixed(y, a + _rotated(b + _K2, 18) + c & _MASK, multiplier)
    e, f = _word(content, 16) * multiplier, _word(content, 24)
    g = (y + _word(content, size - 32)) * multiplier
    h = (z + _word(content, size - 24)) * multiplier
    low = _rotated(e + f, 43) + _rotated(g, 30) + h
    high = e + _rotated(f + a, 18) + g
    return _mixed(low & _MASK, high & _MASK, multiplier)


def _weak(content: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    """Hashes 32 bytes and two seeds to 16 bytes."""
    w, x, y, z = (_word(content, at + 8 * place) for place in range(4))
    a += w
    b = _rotated(b + a + z, 21)
    c = a
    a += x + y
    b += _rotated(a, 44)
    return a + z & _MASK, b + c & _MASK


def _long(content: bytes, size: int) -> int:
    x, y = 81, 81 * _K1 + 113 & _MASK
    z = _shifted(y * _K2 + 113) * _K2 & _MASK
    v, w = (0, 0), (0, 0)
    x = x * _K2 + _word(content, 0) & _MASK
    end, rest = (size - 1) // 64 * 64, (size - 1) & 63
    for at in range(0, end, 64):
        x, y, z, v, w = _round(content, at, x, y, z, v, w, _K1, 1)
    multiplier = _K1 + ((z & 0xFF) << 1)
    w = (w[0] + rest & _MASK, w[1])
    v = (v[0] + w[0] & _MASK, v[1])
    w = (w[0] + v[0] & _MASK, w[1])
    at = end + rest - 63
    x, y, z, v, w = _round(content, at, x, y, z, v, w, multiplier, 9)
    low = _mixed(v[0], w[0], multiplier) + _shifted(y) * _K0 + z
    high = _mixed(v[1], w[1], multiplier) + x
    return _mixed(low & _MASK, high & _MASK, multiplier)


def _round(
    content: bytes,
    at: int,
    x: int,
    y: int,
    z: int,
    v: tuple[int, int],
    w: tuple[int, int],
    multiplier: int,
    factor: int,
) -> tuple[int, int, int, tuple[int, int], tuple[int, int]]:
    """Hashes 64 bytes into the state; the last round has a factor of 9."""
    x = _rotated(x + y + v[0] + _word(content, at + 8), 37) * multiplier & _MASK
    y = _rotated(y + v[1] + _word(content, at + 48), 42) * multiplier & _MASK
    x ^= w[1] * factor & _MASK
    y = y + v[0] * factor + _word(content, at + 40) & _MASK
    z = _rotated(z + w[0], 33) * multiplier & _MASK
    v = _weak(content, at, v[1] * multiplier & _MASK, x + w[0] & _MASK)
    w = _weak(content, at + 32, z + w[1] & _MASK, y + _word(content, at + 16) & _MASK)
    return z, y, x, v, w
