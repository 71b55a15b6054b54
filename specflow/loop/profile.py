"""A window of steps over which devices and host are profiled."""

from pathlib import Path
from typing import Any

import jax

__all__ = ["Profile"]


class Profile:
    """Records what devices and host do over some steps; XProf and TensorBoard show it.

    It is one of the rhythms of `train`: device loops end where the window begins and
    ends, so that just these steps are in it. A run that goes on beyond its beginning
    records nothing.

    Args:
        start: the step after which it begins, 1 or more: compiling is over by then.
        steps: length of the window.
        directory: where the profile goes, in `plugins/profile/<time>`.
    """

    def __init__(self, start: int, steps: int, directory: Path):
        self.start, self.stop = start, start + steps
        self._directory, self._records = directory, False

    def next_after(self, step: int) -> int | None:
        return next((at for at in (self.start, self.stop) if at > step), None)

    def is_due(self, step: int) -> bool:
        return step == self.start or (self._records and step >= self.stop)

    def action(self, step: int, state: Any) -> None:
        """Begins or ends it."""
        if step == self.start:
            if jax.process_index() == 0:
                jax.profiler.start_trace(self._directory)
            self._records = True
        else:
            self.close()

    def close(self) -> None:
        """Ends it, also where training ended within the window."""
        if self._records:
            self._records = False
            if jax.process_index() == 0:
                jax.profiler.stop_trace()
