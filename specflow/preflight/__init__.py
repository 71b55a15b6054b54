"""Pre-flight check: compiles the real steps for TPUs or GPUs, on any machine."""

from specflow.preflight.child_process import Question, ask
from specflow.preflight.memory_limit import memory_limit
from specflow.preflight.text_report import as_text
from specflow.preflight.verdict import misfits, shortfall

__all__ = ["Question", "as_text", "ask", "memory_limit", "misfits", "shortfall"]
