"""Entry point of the child process: a JSON question on stdin, the answer on stdout."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from specflow.diagnostics import user_code
from specflow.diagnostics.errors import Diagnostic, SpecflowError
from specflow.diagnostics.rendering import user_diagnostic
from specflow.preflight.child_process import Question
from specflow.runtime import project_file


def main() -> None:
    """Answers one question; all other output goes to standard error."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    question = Question(**json.load(sys.stdin))
    # Config folders of the project are the user's own here too.
    project_file.enter(project_file.find(Path.cwd()))
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
    except Exception as error:
        if not user_code.is_users(error):
            raise
        # The parent prints it: this process has no other reader.
        reply = {"diagnostics": [_plain(user_diagnostic(error))], "jobs": []}
        return {**reply, "traceback": user_code.traceback_of(error)}


def _plain(diagnostic: Diagnostic) -> dict[str, Any]:
    """A diagnostic without its exceptions, which JSON cannot hold."""
    names = [field.name for field in dataclasses.fields(diagnostic)]
    return {
        name: getattr(diagnostic, name)
        for name in names
        if name not in ("kind", "cause")
    }


if __name__ == "__main__":
    main()
