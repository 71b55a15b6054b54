"""Pictures inside a page, as PNG files without a package."""

import base64
import struct
import zlib

__all__ = ["png_address"]


def png_address(pixels: bytes, width: int) -> str:
    """Returns a picture as an address that needs nothing else to be shown.

    Args:
        pixels: red, green and blue of each pixel, line by line.
        width: of a line, in pixels.

    >>> png_address(bytes(3), width=1)[:32]
    'data:image/png;base64,iVBORw0KGg'

    Source: PNG, third edition, sections 5 and 11.
    """
    size = 3 * width
    lines = [pixels[at : at + size] for at in range(0, len(pixels), size)]
    header = struct.pack(">IIBBBBB", width, len(lines), 8, 2, 0, 0, 0)
    # A filter byte, 0 for none, before each line.
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    content = b"".join(
        struct.pack(">I", len(part))
        + kind
        + part
        + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    )
    encoded = base64.b64encode(b"\x89PNG\r\n\x1a\n" + content).decode()
    return f"data:image/png;base64,{encoded}"
