"""Hides secrets in messages: passwords of URLs, and values of the environment."""

import os
import re

from specflow.diagnostics.passwords import without_password

__all__ = ["without_secrets"]

_VARIABLE = re.compile(r"KEY|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 6
"""Values that are shorter may be ordinary words, such as `true`."""


def without_secrets(text: str) -> str:
    """Hides passwords of URLs, and values of variables such as `WANDB_API_KEY`.

    >>> without_secrets("POST http://ann:secret@host/api failed")
    'POST http://ann:***@host/api failed'
    """
    values = {
        value
        for name, value in os.environ.items()
        if _VARIABLE.search(name) and len(value) >= _SHORTEST
    }
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return without_password(text)
