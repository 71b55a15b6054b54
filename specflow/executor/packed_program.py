"""A training program with a trial axis: several trials in one call."""

import enum
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import jaxpr_as_fun

from specflow.executor.array_types import Tree
from specflow.executor.device_loops import DeviceLoop
from specflow.executor.lowering import LoweredTrain
from specflow.executor.trial_axis import StateStack, TrialAxis, raw, typed

__all__ = ["PackKind", "PackedProgram"]


class PackKind(enum.StrEnum):
    """How the trials of one call are computed on a device."""

    MAP = "map"
    """One after another, by `jax.lax.map`: each as it is alone."""
    VMAP = "vmap"
    """Together, by `jax.vmap`: their arithmetic is joined."""


class PackedProgram:
    """A training program for all slots of a `StateStack`, compiled when first run.

    Args:
        lowered: the program of one trial.
        state: like the states of the trials.
        kind: how trials of a device are computed.
        axis: devices over which trials are divided.
        width: number of slots.
        shares_batches: whether all trials train on the same batches.
    """

    def __init__(
        self,
        lowered: LoweredTrain,
        state: Tree,
        kind: PackKind,
        axis: TrialAxis,
        width: int,
        *,
        shares_batches: bool,
    ):
        self._lowered, self._kind, self._axis = lowered, kind, axis
        self._width, self._shares_batches = width, shares_batches
        self._form = jax.tree.map(_abstract, state)
        traced = lowered.program.traced
        self._flat, self._out = (
            jaxpr_as_fun(traced.jaxpr),
            jax.tree.structure(traced.out_info),
        )
        self._zeros: Any = axis.compile(self._allocated, (True,))
        self._compiled: Any = None

    def compile(
        self, stack: StateStack, calls: dict[int, DeviceLoop], inputs: Sequence[Any]
    ) -> bool:
        """Compiles the program, before a state is donated; arguments as of `run`.

        Returns:
            False if it was compiled already.
        """
        if self._compiled is not None:
            return False
        bounds, active, values = self._arguments(calls, inputs)
        losses, outputs = self._zeros(active)
        batches = self._batches(calls)
        args = stack.arrays, losses, outputs, *batches, bounds[0], active, values
        own, is_map = not self._shares_batches, self._kind is PackKind.MAP
        stacked = (True, True, True, own, own, own, is_map, True, True)
        function = self._mapped if is_map else self._vectorized
        run: Any = self._axis.compile(
            self._axis.portable(function, args, stacked),
            stacked,
            donated=(0, 1, 2),
            options=self._lowered.options,
        )
        self._compiled = run.lower(*args).compile()
        return True

    def run(
        self, stack: StateStack, calls: dict[int, DeviceLoop], inputs: Sequence[Any]
    ) -> tuple[Any, Any]:
        """Runs the steps of some slots; the states of the others stay as they are.

        Args:
            stack: the states; replaced by those after the steps.
            calls: slot -> its steps; for `VMAP` all have the same bounds.
            inputs: of the program, float32[n] for each call.

        Returns:
            Losses and outputs of all stacked steps, with the trial axis in front.
        """
        self.compile(stack, calls, inputs)
        steps, active, values = self._arguments(calls, inputs)
        losses, outputs = self._zeros(active)
        batches = self._batches(calls)
        for bounds in steps:
            stack.arrays, losses, outputs = self._compiled(
                stack.arrays, losses, outputs, *batches, bounds, active, values
            )
        return losses, outputs

    def _arguments(
        self, calls: dict[int, DeviceLoop], inputs: Sequence[Any]
    ) -> tuple[list[Any], Any, Any]:
        """Bounds of each dispatch; which slots are active; inputs of the program."""
        bounds = np.zeros((self._width, 2), np.int32)
        values = np.stack([inputs[0]] * self._width)
        for own, (slot, call) in zip(inputs, calls.items(), strict=True):
            bounds[slot], values[slot] = (call.start, call.stop), own
        active = bounds[:, 1] > bounds[:, 0]
        stacked = self._axis.sharding()
        active, values = jax.device_put((active, values), stacked)
        if self._kind is PackKind.MAP:
            return [jax.device_put(bounds, stacked)], active, values
        shared = self._axis.sharding(stacked=False)
        start, stop = bounds[next(iter(calls))]
        every = [np.array([start, stop])]
        if not self._lowered.program.looped:
            every = [np.array([index], np.int32) for index in range(start, stop)]
        return [jax.device_put(one, shared) for one in every], active, values

    def _batches(self, calls: dict[int, DeviceLoop]) -> Tree:
        """Features, labels and log mask of all slots, placed."""
        first = next(iter(calls.values()))
        if self._shares_batches:
            placed = first.features, first.labels, first.log_mask
            return jax.device_put(placed, self._axis.sharding(stacked=False))
        every = [calls.get(slot, first) for slot in range(self._width)]
        if len(self._axis.devices) == 1:
            rows = [(call.features, call.labels, call.log_mask) for call in every]
            stacked = jax.tree.map(lambda *own: jnp.stack(own), *rows)
            return jax.device_put(stacked, self._axis.sharding())
        rows = [(*call.host_batches, call.log_mask) for call in every]
        stacked = jax.tree.map(lambda *own: np.stack(own), *rows)
        return jax.device_put(stacked, self._axis.sharding())

    def _allocated(self, active: jax.Array) -> Tree:
        """Losses and outputs before the first step."""
        slots = active.shape[0]
        outputs = self._lowered.outputs
        steps = self._lowered.program.traced.out_info[1].shape[0]
        losses = jnp.full((slots, steps), jnp.nan, jnp.float32)
        return losses, jax.tree.map(
            lambda x: jnp.zeros((slots, *x.shape), x.dtype), outputs
        )

    def _one(self, carry: Tree, batches: Tree, bounds: Any, values: Any) -> Tree:
        """Runs the steps of one trial."""
        state, losses, outputs = carry
        last = (values,) if self._lowered.program.inputs.size else ()
        bounds = [bounds[index] for index in range(bounds.shape[0])]
        args = typed(state, self._form), losses, outputs, *batches, *bounds, *last
        after = jax.tree.unflatten(self._out, self._flat(*jax.tree.leaves(args)))
        return raw(after[0]), after[1], after[2]

    def _mapped(self, *args: Tree) -> Tree:
        carry, batches, (bounds, _, values) = args[:3], args[3:6], args[6:]
        if self._shares_batches:
            return lax.map(
                lambda own: self._one(own[0], batches, own[1], own[2]),
                (carry, bounds, values),
            )
        return lax.map(lambda own: self._one(*own), (carry, batches, bounds, values))

    def _vectorized(self, *args: Tree) -> Tree:
        carry, batches, (bounds, active, values) = args[:3], args[3:6], args[6:]
        axis = None if self._shares_batches else 0
        after = jax.vmap(self._one, in_axes=(0, axis, None, 0))(
            carry, batches, bounds, values
        )
        state = jax.tree.map(
            lambda new, old: jnp.where(
                active.reshape(-1, *[1] * (new.ndim - 1)), new, old
            ),
            after[0],
            carry[0],
        )
        return state, after[1], after[2]


def _abstract(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)
