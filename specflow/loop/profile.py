"""A window of steps that the profiler records."""

from pathlib import Path

import jax

__all__ = ["Profile"]


class Profile:
    """Profiles devices and host over some steps, for XProf and TensorBoard.

    It is a trigger of its own action: device loops end where the window begins and
    ends, so that it contains exactly these steps. A run that resumes after the first
    step of the window records nothing.

    Args:
        start: step after which the window begins, 1 or more: compilation is over then.
        steps: length of the window.
        directory: parent of the profile, `plugins/profile/<time>`.
    """

    def __init__(self, start: int, steps: int, directory: Path):
        self.start, self.stop = start, start + steps
        self._directory, self._is_recording = directory, False

    def next_after(self, step: int) -> int | None:
        return next((at for at in (self.start, self.stop) if at > step), None)

    def is_due(self, step: int) -> bool:
        return step == self.start or (self._is_recording and step >= self.stop)

    def start_or_stop(self, step: int) -> None:
        """Starts recording at the first step of the window, else stops it."""
        if step == self.start:
            if jax.process_index() == 0:
                jax.profiler.start_trace(self._directory)
            self._is_recording = True
        else:
            self.close()

    def close(self) -> None:
        """Stops recording, also where training ended within the window."""
        if self._is_recording:
            self._is_recording = False
            if jax.process_index() == 0:
                jax.profiler.stop_trace()
