"""Passwords in URLs, which no message and no file shows."""

import re

__all__ = ["without_password"]

_BEFORE_HOST = re.compile(r"(://[^/:@\s]*):[^@\s]*@")
_IN_QUERY = re.compile(r"([?&](?:password|sslpassword)=)[^&\s]*")


def without_password(text: str) -> str:
    """Hides the passwords of URLs.

    >>> without_password("postgresql://ann:secret@db.example/search")
    'postgresql://ann:***@db.example/search'
    >>> without_password("postgresql://db.example/search?user=ann&password=secret")
    'postgresql://db.example/search?user=ann&password=***'
    """
    if "://" not in text:
        return text
    return _IN_QUERY.sub(r"\1***", _BEFORE_HOST.sub(r"\1:***@", text))
