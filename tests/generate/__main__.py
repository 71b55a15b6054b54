"""Writes `specflow/config/generated/`: `python -m tests.generate`."""

import sys

from tests.generate.entry_points import outdated
from tests.generate.outputs import outputs

if problem := outdated():
    sys.exit(problem)
for path, text in outputs().items():
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
