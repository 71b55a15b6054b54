"""Will it fit? The real steps, compiled for a TPU slice on a machine without one."""

from specflow.preflight.child_process import Question, ask
from specflow.preflight.text_report import as_text
from specflow.preflight.verdict import misfits, shortfall

__all__ = ["Question", "as_text", "ask", "misfits", "shortfall"]
