"""Decodes users' text files: UTF-8, with or without a byte order mark."""

import codecs
import dataclasses
import itertools
import shlex
from collections.abc import Iterable
from pathlib import PurePath

__all__ = ["OtherEncoding", "conversion", "decoded", "other_encoding", "without_mark"]

_OTHERS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    # The marks of UTF-32 begin as those of UTF-16 do.
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}

_SHOWN = 20
"""Characters before a byte that is not UTF-8, which show where it is."""


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
    if encoding := _marked(content):
        raise UnicodeError(_of_encoding(encoding))
    return content.removeprefix(codecs.BOM_UTF8)


def _marked(content: bytes) -> str | None:
    """The other encoding whose mark a content begins with."""
    found = (name for name, marks in _OTHERS.items() if content.startswith(marks))
    return next(found, None)


def _of_encoding(encoding: str) -> str:
    return f"is text in {encoding}, not in UTF-8"


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


@dataclasses.dataclass(frozen=True, slots=True)
class OtherEncoding:
    """What shows that a file is not in UTF-8."""

    line: int | None
    """Line of the first byte that is not UTF-8; None: a mark at the beginning."""
    problem: str
    encoding: str | None
    """What the mark says; None: unknown."""

    def hint(self, file: str) -> str:
        """The command that converts a file."""
        if self.encoding is not None:
            return f"Convert it: {conversion(file, self.encoding)}."
        command = conversion(file, "WINDOWS-1252")
        return f"If it is Windows-1252 or Latin-1, convert it: {command}."


def conversion(file: str, encoding: str) -> str:
    """The command that writes a file in UTF-8, beside it.

    >>> conversion("data/a b.csv", "UTF-16")
    "iconv -f UTF-16 -t UTF-8 'data/a b.csv' > 'data/a b.utf8.csv'"
    """
    path = PurePath(file)
    new = path.with_name(f"{path.stem}.utf8{path.suffix}")
    return f"iconv -f {encoding} -t UTF-8 {shlex.quote(file)} > {shlex.quote(str(new))}"


def other_encoding(blocks: Iterable[bytes]) -> OtherEncoding | None:
    r"""Finds what shows that a file is not in UTF-8; None: it is.

    Args:
        blocks: its content, in order; the first one has at least 4 bytes if it has.

    >>> other_encoding([b"a,b\n1,caf", b"\xe9\n"]).problem
    "byte 6 of the line is 0xe9 (after '1,caf'), which is not UTF-8"
    >>> other_encoding(["\u00e9".encode()[:1], "\u00e9".encode()[1:]]) is None
    True
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, of_line, tail = 1, 0, b""
    for number, block in enumerate(itertools.chain(blocks, (b"",))):
        if number == 0 and (encoding := _marked(block)):
            return OtherEncoding(None, _of_encoding(encoding), encoding)
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            bad = error.start - pending
            before = (tail + block)[: len(tail) + bad]
            breaks = block.count(b"\n", 0, max(bad, 0))
            if breaks:
                of_line = -block.rfind(b"\n", 0, bad) - 1
            return OtherEncoding(
                line + breaks,
                f"byte {of_line + bad + 1:,} of the line is 0x"
                f"{error.object[error.start]:02x}{_after(before)}, which is not UTF-8",
                None,
            )
        line += block.count(b"\n")
        last = block.rfind(b"\n")
        of_line = len(block) - last - 1 if last >= 0 else of_line + len(block)
        tail = (tail + block[-4 * _SHOWN :])[-4 * _SHOWN :]
    return None


def _after(before: bytes) -> str:
    """Description of the end of the line so far."""
    text = before[-4 * _SHOWN :].decode("utf-8", "ignore").rpartition("\n")[2]
    return f" (after {text[-_SHOWN:]!r})" if text else ""
