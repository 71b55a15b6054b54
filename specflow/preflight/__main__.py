"""The child's door: a question as JSON on standard input, the answer on its output."""

import dataclasses
import json
import os
import sys
from typing import Any

from specflow.diagnostics.errors import Diagnostic, SpecflowError
from specflow.preflight.child_process import Question


def main() -> None:
    """Answers one question; whatever else is printed goes to standard error."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    question = Question(**json.load(sys.stdin))
    with answer:
        json.dump(_answer(question), answer)


def _answer(question: Question) -> dict[str, Any]:
    from specflow.preflight.answer import answer

    try:
        return {"diagnostics": [], "jobs": answer(question)}
    except SpecflowError as error:
        return {
            "diagnostics": [_plain(diagnostic) for diagnostic in error.diagnostics],
            "jobs": [],
        }


def _plain(diagnostic: Diagnostic) -> dict[str, Any]:
    """A fault without the class that its exception also is: it does not travel."""
    plain = dataclasses.asdict(diagnostic)
    del plain["kind"]
    return plain


if __name__ == "__main__":
    main()
