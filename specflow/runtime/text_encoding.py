"""Decodes users' text files: UTF-8, with or without a byte order mark."""

import codecs

__all__ = ["decoded", "without_mark"]

_OTHERS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    # The marks of UTF-32 begin as those of UTF-16 do.
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


def without_mark(content: bytes) -> bytes:
    r"""Removes a UTF-8 byte order mark.

    Raises:
        UnicodeError: the mark is of another encoding, which the message names.

    >>> without_mark(b"\xef\xbb\xbfa: 1"), without_mark(b"a: 1")
    (b'a: 1', b'a: 1')
    >>> without_mark("a: 1".encode("utf-16"))
    Traceback (most recent call last):
    UnicodeError: is text in UTF-16, not in UTF-8
    """
    for name, marks in _OTHERS.items():
        if content.startswith(marks):
            raise UnicodeError(f"is text in {name}, not in UTF-8")
    return content.removeprefix(codecs.BOM_UTF8)


def decoded(content: bytes) -> str:
    """Decodes a file in UTF-8, without its byte order mark.

    Raises:
        UnicodeError: it is not UTF-8.
    """
    content = without_mark(content)
    if b"\0" in content:
        raise UnicodeError("holds NUL characters, as text in UTF-16 does")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UnicodeError("is not UTF-8 text") from None
