"""Checks of TensorBoard event files: lengths and checksums of their records."""

import struct
from pathlib import Path

from specflow.fsck.verdicts import Finding, Remove, Rewrite, Verdict

__all__ = ["check_events", "masked_crc"]

_HEADER, _FOOTER = 12, 4
_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bit-reversed."""


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def masked_crc(content: bytes) -> int:
    """CRC-32C of bytes, masked as in TensorFlow's record files.

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def check_events(path: Path) -> Finding:
    """Reads every record of an event file, and verifies its checksums."""
    content = path.read_bytes()
    good: list[tuple[int, int]] = []
    bad: list[int] = []
    start, count, torn = 0, 0, False
    while start < len(content):
        count += 1
        header = content[start : start + _HEADER]
        if len(header) < _HEADER:
            torn = True
            break
        length, crc = struct.unpack("<QI", header)
        if masked_crc(header[:8]) != crc:
            bad.append(count)  # The start of the next record is not known.
            break
        stop = start + _HEADER + length + _FOOTER
        if stop > len(content):
            torn = True
            break
        data = content[start + _HEADER : stop - _FOOTER]
        if struct.unpack("<I", content[stop - _FOOTER : stop]) == (masked_crc(data),):
            good.append((start, stop))
        else:
            bad.append(count)
        start = stop
    if bad:
        return Finding(
            path,
            Verdict.DAMAGED,
            f"record {bad[0]} changed since it was written",
            Rewrite(tuple(good), keeps_copy=True),
        )
    if torn or not good:
        reason = f"record {count} is torn" if torn else "holds no record"
        repair = Rewrite(tuple(good), keeps_copy=False) if good else Remove()
        return Finding(path, Verdict.INCOMPLETE, reason, repair)
    return Finding(path)
