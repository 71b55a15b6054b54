"""Base of the sections of trackers, which are reporters of `output.reporters`."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, NonNegativeFloat, PositiveInt

from specflow.config.base import Component
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.diagnostics.passwords import without_password

__all__ = ["TrackerConfig", "TrackerUrl"]


def _check_password(url: str) -> str:
    if (shown := without_password(url)) != url:
        raise ConfigError(
            Diagnostic(
                "",
                f"{shown!r} has a password, and a config is stored",
                expected="a URL without one",
                hint="Set the environment variables of the tracker instead.",
                code="secret",
            )
        )
    return url


TrackerUrl = Annotated[str, AfterValidator(_check_password)]
"""Address of a tracker. One with a password is refused: a run stores its config."""


class TrackerConfig(Component):
    """Fields of every tracker.

    A subclass has a `name`, and a `build(self, *, run)` that returns a
    `specflow.Tracker`.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    """Modules that the tracker imports, checked before training."""
    requirement: ClassVar[str] = ""
    """What `pip install` takes to install them."""

    queue_rows: PositiveInt = 10_000
    """Rows of metrics that wait in memory while the tracker does not respond; those
    beyond are read from `metrics.jsonl` again."""
    wait_s: NonNegativeFloat = 60.0
    """Seconds that the end of a run waits until the tracker has all of it; `specflow
    report sync` sends the rest."""

    @property
    def limits(self) -> dict[str, Any]:
        """Keyword arguments of `specflow.Tracker`."""
        return {"queue_rows": self.queue_rows, "wait_s": self.wait_s}
