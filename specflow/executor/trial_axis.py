"""A trial axis over devices, and states of several trainings that have one."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from specflow.executor.array_types import Shardings, Tree
from specflow.executor.train_state import TrainState

__all__ = ["Stacked", "StateStack", "TrialAxis", "raw", "typed"]

_AXIS = "trials"

Stacked: TypeAlias = tuple[bool, ...]
"""Whether each argument of a function has a trial axis."""


class TrialAxis:
    """A mesh of one axis, over which trials are divided; each is on one device.

    Args:
        devices: of the mesh.
    """

    def __init__(self, devices: tuple[Any, ...]):
        self.devices = devices
        self._mesh = Mesh(np.array(devices), (_AXIS,))

    def sharding(self, *, stacked: bool = True) -> NamedSharding:
        """Returns that of an array with a trial axis in front, or of a shared one."""
        spec = PartitionSpec(_AXIS) if stacked else PartitionSpec()
        return NamedSharding(self._mesh, spec)

    def width(self, trials: int) -> int:
        """Returns the number of slots that hold this number of trials."""
        return -(-trials // len(self.devices)) * len(self.devices)

    def compile(
        self,
        function: Callable[..., Tree],
        stacked: Stacked,
        out_stacked: bool = True,
        *,
        donated: tuple[int, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Callable[..., Tree]:
        """Compiles a function that each device runs for the trials that it has.

        Args:
            function: of arrays with the device's part of the trial axis, and of shared
                ones.
            stacked: whether each argument has the axis.
            out_stacked: whether the results have it; if not, each device has its own.
            donated: numbers of the arguments that are donated.
            options: XLA's options.
        """
        if len(self.devices) > 1:
            specs = [self.sharding(stacked=one).spec for one in stacked]
            function = jax.shard_map(
                function,
                mesh=self._mesh,
                in_specs=tuple(specs),
                out_specs=self.sharding(stacked=out_stacked).spec,
                check_vma=False,
            )
        return jax.jit(
            function,
            in_shardings=tuple(self.sharding(stacked=one) for one in stacked),
            out_shardings=self.sharding(stacked=out_stacked),
            donate_argnums=donated,
            compiler_options=options or None,
        )

    def portable(
        self, function: Callable[..., Tree], args: Sequence[Tree], stacked: Stacked
    ) -> Callable[..., Tree]:
        """Returns a function of a device that may have been traced for another mesh.

        A trace has the mesh that it was made for in the types of its arrays; what it
        was lowered to has not.

        Args:
            function: as in `compile`.
            args: the arguments of all devices.
            stacked: as in `compile`.
        """
        count = len(self.devices)
        if count == 1:
            return function
        forms = [
            jax.tree.map(
                lambda x, is_own=is_own: jax.ShapeDtypeStruct(
                    (x.shape[0] // count, *x.shape[1:]) if is_own else x.shape, x.dtype
                ),
                arg,
            )
            for arg, is_own in zip(args, stacked, strict=True)
        ]
        return export.export(jax.jit(function))(*forms).call

    def first_slot(self, slots: int) -> Any:
        """Returns the first slot of this device, inside of a function.

        Args:
            slots: number of slots of a device.
        """
        if len(self.devices) == 1:
            return 0
        return lax.axis_index(_AXIS) * slots


class StateStack:
    """States of trainings that differ in values alone, with a trial axis in front.

    Random keys are stored as integers.

    Args:
        like: one of the states.
        axis: where they are.
    """

    def __init__(self, like: TrainState, axis: TrialAxis):
        self.form: TrainState = jax.tree.map(_abstract, like)
        """Shapes, dtypes and shardings of a state."""
        self._shardings: Shardings = jax.tree.map(lambda x: x.sharding, raw(like))
        self.axis, self.width = axis, 0
        self.arrays: Any = None
        """The states, and those of slots that no training has."""
        self._fills: dict[int, Any] = {}
        self._insert: Any = axis.compile(
            self._inserted, (True, False, False), donated=(0,)
        )
        self._read: Any = axis.compile(self._local, (True, False), False)

    def resize(self, width: int, like: TrainState | None = None) -> None:
        """Changes the number of slots; those that stay keep their states.

        Args:
            width: number of slots, a multiple of the number of devices. 0: the arrays
                are freed.
            like: a state that is put in new slots.
        """
        kept = [self.read(slot) for slot in range(min(self.width, width))]
        self.arrays, self.width = None, width
        if like is None:
            return
        if width not in self._fills:
            slots = width // len(self.axis.devices)
            self._fills[width] = self.axis.compile(
                lambda state: jax.tree.map(
                    lambda x: jnp.broadcast_to(x, (slots, *x.shape)), state
                ),
                (False,),
            )
        self.arrays = self._fills[width](self._everywhere(raw(like)))
        for slot, state in enumerate(kept):
            self.insert(slot, state)

    def insert(self, slot: int, state: TrainState) -> None:
        """Puts a state in a slot."""
        values = self._everywhere(raw(state))
        self.arrays = self._insert(self.arrays, values, np.int32(slot))

    def read(self, slot: int) -> TrainState:
        """Returns a copy of the state in a slot, with the shardings of the first."""
        local = self._read(self.arrays, np.int32(slot))
        device = slot // (self.width // len(self.axis.devices))
        own = jax.tree.map(lambda x: x.addressable_shards[device].data, local)
        return typed(jax.device_put(own, self._shardings), self.form)

    def _everywhere(self, state: Tree) -> Tree:
        return jax.device_put(state, self.axis.sharding(stacked=False))

    def _inserted(self, stack: Tree, state: Tree, slot: jax.Array) -> Tree:
        def inserted(states: jax.Array, own: jax.Array) -> jax.Array:
            slots = states.shape[0]
            index = slot - self.axis.first_slot(slots)
            is_here = (jnp.arange(slots) == index).reshape(-1, *[1] * own.ndim)
            return jnp.where(is_here, own, states)

        return jax.tree.map(inserted, stack, state)

    def _local(self, stack: Tree, slot: jax.Array) -> Tree:
        def local(states: jax.Array) -> jax.Array:
            index = slot - self.axis.first_slot(states.shape[0])
            return lax.dynamic_index_in_dim(states, index, keepdims=False)

        return jax.tree.map(local, stack)


def raw(state: Tree) -> Tree:
    """Returns a tree whose random keys are arrays of integers."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, state)


def typed(state: Tree, like: Tree) -> Tree:
    """Returns a tree with random keys where another one has them."""
    return jax.tree.map(
        lambda x, form: jax.random.wrap_key_data(x) if _is_key(form) else x,
        state,
        like,
    )


def _abstract(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _is_key(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
