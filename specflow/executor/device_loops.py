"""Device loops of a training: dispatched alone, or together with those of others."""

import abc
import dataclasses
import time
from collections.abc import Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

from numpy.typing import NDArray

from specflow.executor.array_types import Batch, Features, Labels
from specflow.executor.steps import StepOutputs
from specflow.executor.train_state import TrainState

__all__ = [
    "DeviceLoop",
    "DeviceLoopResult",
    "DeviceLoops",
    "HeldState",
    "read_state",
    "run_alone",
    "until_turn",
]

Result = TypeVar("Result")


class HeldState(abc.ABC):
    """The state of a training that is part of larger arrays; see `Pack`."""

    @abc.abstractmethod
    def read(self) -> TrainState:
        """Returns a copy of it; its training may not have taken a step since."""


def read_state(state: TrainState | HeldState) -> TrainState:
    """Returns the arrays of a state."""
    return state.read() if isinstance(state, HeldState) else state


class DeviceLoopResult(NamedTuple):
    """What a device loop returns; see `Program.train`."""

    state: TrainState | HeldState
    losses: Any
    """float32[steps] on the devices."""
    outputs: StepOutputs


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceLoop:
    """Training steps that are dispatched in one call.

    Args:
        program: the compiled steps; a `Program`.
        state: the state before; donated.
        features: stacked batches on the mesh.
        labels: likewise, or None.
        log_mask: bool[steps], whether the step of each stacked batch is logged.
        start: first batch.
        stop: one past the last batch.
        host_batches: features and labels on the host.
    """

    program: Any
    state: TrainState | HeldState
    features: Features
    labels: Labels
    log_mask: NDArray[Any]
    start: int
    stop: int
    host_batches: Batch

    def run(self) -> DeviceLoopResult:
        """Dispatches the steps."""
        return DeviceLoopResult(
            *self.program.train(
                self.state,
                self.features,
                self.labels,
                self.start,
                self.stop,
                self.log_mask,
            )
        )


DeviceLoops: TypeAlias = Generator[DeviceLoop | None, DeviceLoopResult, Result]
"""A training that yields its device loops and is sent their results.

One that was prepared ahead yields None until it is its turn; see `until_turn`.
"""


def until_turn() -> DeviceLoops[float]:
    """Waits, in a training that was prepared while another one runs.

    Returns:
        Seconds that it waited.
    """
    start_time_s = time.perf_counter()
    yield None
    return time.perf_counter() - start_time_s


def run_alone(training: DeviceLoops[Result]) -> Result:
    """Runs a training that shares no device loop; returns what it returns.

    An error of a device loop is raised inside of the training.
    """
    try:
        device_loop = next(training)
        while True:
            assert device_loop is not None  # It is not prepared ahead.
            try:
                result = device_loop.run()
            except BaseException as error:
                device_loop = training.throw(error)
            else:
                # No reference is kept: the next call donates the state.
                del device_loop
                device_loop = training.send(result)
                del result
    except StopIteration as end:
        return end.value
