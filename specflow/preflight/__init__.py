"""Will it fit? The real steps, compiled for a TPU slice on a machine without one."""

from specflow.preflight.child import Question, ask
from specflow.preflight.screen import as_text
from specflow.preflight.verdict import misfits, shortfall

__all__ = ["Question", "as_text", "ask", "misfits", "shortfall"]
