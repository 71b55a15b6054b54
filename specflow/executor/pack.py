"""Device loops of several trainings in one call, where their programs are equal."""

import contextlib
import dataclasses
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import jax
import numpy as np

from specflow.distributed import collectives
from specflow.executor.device_loops import (
    DeviceLoop,
    DeviceLoopResult,
    HeldState,
    read_state,
)
from specflow.executor.lowering import LoweredTrain
from specflow.executor.packed_program import PackedProgram, PackKind
from specflow.executor.steps import StepOutputs
from specflow.executor.tracing import shapes
from specflow.executor.train_state import TrainState
from specflow.executor.trial_axis import StateStack, TrialAxis, raw

__all__ = ["Pack"]

_ALONE = "alone"
_PROGRAMS = 16
"""Packed programs that are kept."""


class Pack:
    """Runs device loops of trainings that are in a process at the same time.

    Those of equal programs run in one call, with a trial axis over states, over inputs
    that hyperparameters determine, and over batches where they differ; and over the
    devices of this process, if each training uses one of them. The states stay stacked
    on the devices between calls. Other device loops run alone.

    Args:
        kind: how trials of a device are computed.
        verifies: whether the first call of each program is compared with calls of one
            trial, bit for bit; if they differ, the trials of the program run alone.
    """

    def __init__(self, kind: PackKind, *, verifies: bool = False):
        self._kind, self._verifies = kind, verifies
        self._states: dict[Hashable, _States] = {}
        self._programs: OrderedDict[Hashable, PackedProgram] = OrderedDict()
        self._unpacked: set[Hashable] = {_ALONE}
        """Programs whose trials run alone."""
        self.notes: list[str] = []
        """Why trainings run alone, each reason once."""
        self.failed: set[int] = set()
        """Trainings of a call that raised, which may be due to any of them."""
        self.calls = 0
        """Number of calls with a trial axis so far."""

    def lowered(self, loop: DeviceLoop) -> LoweredTrain:
        """Returns the program of a device loop.

        A training that begins after this shares its traces.
        """
        state: Any = loop.state
        if isinstance(state, _Held):
            state = state.states.stack.form
        return loop.program.lowered_train(state, loop.features, loop.labels)

    def run(
        self, loops: dict[int, DeviceLoop]
    ) -> dict[int, DeviceLoopResult | Exception]:
        """Dispatches device loops.

        Args:
            loops: number of the training -> its device loop.

        Returns:
            Number -> the result, or what the call raised.
        """
        groups: dict[Hashable, dict[int, DeviceLoop]] = {}
        results: dict[int, DeviceLoopResult | Exception] = {}
        for number, loop in loops.items():
            try:
                groups.setdefault(self._key(number, loop), {})[number] = loop
            except Exception as error:
                results[number] = error
        for key, group in groups.items():
            try:
                results |= self._run_group(key, group)
            except Exception as error:
                results |= dict.fromkeys(group, error)
                for number in group:
                    self.release(number)
                if len(group) > 1:
                    self.failed |= set(group)
        return results

    def release(self, number: int) -> None:
        """Gives the slot of a training back: it has ended."""
        for states in self._states.values():
            states.release(number)

    def _key(self, number: int, loop: DeviceLoop) -> Hashable:
        """Returns what device loops that can run in one call have in common."""
        lowered = self.lowered(loop)
        program, alone = lowered.program, (_ALONE, number)
        if program.key is None:
            return self._note(alone, "their program calls the host, or has constants")
        if len(program.devices) > 1 or collectives.process_count() > 1:
            count = len(program.devices)
            return self._note(alone, f"each uses {count} devices; mesh=single is one")
        if self._kind is PackKind.MAP and not program.looped:
            return self._note(
                alone, "their steps are single calls, as with convolutions on CPU"
            )
        bounds = (loop.start, loop.stop) if self._kind is PackKind.VMAP else ()
        return program.key, bounds

    def _note(self, key: Hashable, reason: str) -> Hashable:
        note = f"trials run one after another: {reason}"
        if note not in self.notes:
            self.notes.append(note)
        return key

    def _run_group(
        self, key: Any, loops: dict[int, DeviceLoop]
    ) -> dict[int, DeviceLoopResult]:
        """Runs device loops of one program, which may have a trial axis."""
        first, (program_key, _) = next(iter(loops.values())), key
        is_held = any(isinstance(loop.state, HeldState) for loop in loops.values())
        if program_key in self._unpacked or (len(loops) == 1 and not is_held):
            return {number: self._alone(number, loop) for number, loop in loops.items()}
        states = self._states_of(first)
        states.place({number: loop.state for number, loop in loops.items()})
        program = self._program(program_key, states.stack, loops)
        calls = {states.slots[number]: loop for number, loop in loops.items()}
        inputs = [self.lowered(loop).program.inputs for loop in loops.values()]
        try:
            with contextlib.ExitStack() as timing:
                for loop in loops.values():
                    timing.enter_context(loop.program.timing("compile"))
                is_new = program.compile(states.stack, calls, inputs)
        except Exception as error:
            # As of an operation without a rule for `vmap`; no state is lost.
            self._unpacked.add(program_key)
            self._note(None, f"the pack cannot be compiled: {error}")
            return {number: self._alone(number, loop) for number, loop in loops.items()}
        alone: dict[int, DeviceLoopResult] = {}
        if is_new and self._verifies:
            alone = {
                number: dataclasses.replace(loop, state=read_state(loop.state)).run()
                for number, loop in loops.items()
            }
        losses, outputs = program.run(states.stack, calls, inputs)
        self.calls += 1
        rows = _Rows(losses, outputs)
        results = {
            number: rows.result(slot, _Held(states, number))
            for number, slot in zip(loops, calls, strict=True)
        }
        if all(_is_bitwise(alone[number], results[number]) for number in alone):
            return results
        self._unpacked.add(program_key)
        self._note(None, "their numbers would differ in a pack")
        for number in loops:
            self.release(number)
        return alone

    def _alone(self, number: int, loop: DeviceLoop) -> DeviceLoopResult:
        """Runs a device loop alone; its training has no slot then."""
        loop = dataclasses.replace(loop, state=read_state(loop.state))
        self.release(number)
        return loop.run()

    def _states_of(self, loop: DeviceLoop) -> "_States":
        """Returns the stack for states like that of a device loop."""
        if isinstance(loop.state, _Held):
            return loop.state.states
        state: Any = loop.state
        device = self.lowered(loop).program.devices[0]
        key = shapes(state), device
        if key not in self._states:
            others = [one for one in jax.local_devices(backend=device.platform)]
            devices = [device, *(one for one in others if one != device)]
            self._states[key] = _States(StateStack(state, TrialAxis(tuple(devices))))
        return self._states[key]

    def _program(
        self, key: Hashable, stack: StateStack, loops: dict[int, DeviceLoop]
    ) -> PackedProgram:
        """Returns the program with a trial axis of device loops of equal programs."""
        first = next(iter(loops.values()))
        shared = all(_has_same_batches(first, loop) for loop in loops.values())
        found = key, stack.width, shared
        if found not in self._programs:
            self._programs[found] = PackedProgram(
                self.lowered(first),
                stack.form,
                self._kind,
                stack.axis,
                stack.width,
                shares_batches=shared,
            )
            while len(self._programs) > _PROGRAMS:
                self._programs.popitem(last=False)
        self._programs.move_to_end(found)
        return self._programs[found]


class _States:
    """The trainings whose states are in a stack.

    Args:
        stack: of the states.
    """

    def __init__(self, stack: StateStack):
        self.stack = stack
        self.slots: dict[int, int] = {}
        """Number of a training -> its slot."""

    def place(self, states: dict[int, Any]) -> None:
        """Gives trainings a slot that have none."""
        new = {
            number: state
            for number, state in states.items()
            if not isinstance(state, HeldState)
        }
        for number in new:
            self.release(number)  # It was restored, as after a device failed.
        stack, needed = self.stack, len(self.slots) + len(new)
        if needed > stack.width:
            stack.resize(stack.axis.width(needed), next(iter(new.values())))
        for number, state in new.items():
            slot = self._free()
            self.slots[number] = slot
            stack.insert(slot, state)

    def release(self, number: int) -> None:
        """Frees the slot of a training, and the arrays if it was the last."""
        self.slots.pop(number, None)
        if not self.slots and self.stack.width:
            self.stack.resize(0)

    def _free(self) -> int:
        """Returns a free slot, of the device that has the fewest trainings."""
        local = self.stack.width // len(self.stack.axis.devices)
        taken = set(self.slots.values())
        used = [slot // local for slot in taken]
        free = [slot for slot in range(self.stack.width) if slot not in taken]
        return min(free, key=lambda slot: used.count(slot // local))


class _Held(HeldState):
    """The state of a training in a stack, after a call.

    Args:
        states: what it is in.
        number: of the training.
    """

    def __init__(self, states: _States, number: int):
        self.states, self._number = states, number
        self._copy: TrainState | None = None

    def read(self) -> TrainState:
        """Returns a copy of it."""
        if self._copy is None:
            self._copy = self.states.stack.read(self.states.slots[self._number])
        return self._copy


class _Rows:
    """Losses and outputs of a call, which are copied to the host once for all.

    Args:
        losses: float32[slots, steps].
        outputs: with the trial axis in front.
    """

    def __init__(self, losses: Any, outputs: StepOutputs):
        self._losses, self._outputs = _OnHost(losses), outputs
        self._copies = jax.tree.map(_OnHost, outputs._replace(host_call=()))

    def result(self, slot: int, state: HeldState) -> DeviceLoopResult:
        """Returns the result of the training in a slot."""
        own = jax.tree.map(lambda copy: _Row(copy, slot), self._copies)
        called = jax.tree.map(lambda array: array[slot], self._outputs.host_call)
        return DeviceLoopResult(
            state, _Row(self._losses, slot), own._replace(host_call=called)
        )


class _OnHost:
    """An array that is copied to the host when it is first read."""

    def __init__(self, array: jax.Array):
        self._array = array

    def read(self) -> Any:
        return np.asarray(self._array)  # JAX keeps the copy.


class _Row:
    """A row of such an array, as NumPy reads it."""

    def __init__(self, copy: _OnHost, slot: int):
        self._copy, self._slot = copy, slot

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self._copy.read()[self._slot], dtype)


def _has_same_batches(one: DeviceLoop, other: DeviceLoop) -> bool:
    """Returns whether two device loops train on equal batches."""
    if one is other:
        return True
    trees = [(*each.host_batches, each.log_mask) for each in (one, other)]
    pairs = zip(*map(jax.tree.leaves, trees), strict=True)
    return all(a is b or _bytes(a) == _bytes(b) for a, b in pairs)


def _is_bitwise(one: DeviceLoopResult, other: DeviceLoopResult) -> bool:
    """Returns whether two results are equal, bit for bit."""
    trees = [
        (raw(read_state(each.state)), each.losses, each.outputs)
        for each in (one, other)
    ]
    pairs = zip(*map(jax.tree.leaves, trees), strict=True)
    return all(_bytes(a) == _bytes(b) for a, b in pairs)


def _bytes(array: Any) -> bytes:
    return np.asarray(array).tobytes()
