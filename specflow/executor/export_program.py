"""A program as what is exported of it: a pure function of weights and features."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from specflow.contract import ExportOutput, Mode
from specflow.executor.program import Program
from specflow.executor.traced_once import Traced, has_convolution, has_narrow_floats
from specflow.executor.tracing import check_predictions, row_count
from specflow.executor.train_state import TrainState
from specflow.executor.xla_options import CPU_CONVOLUTIONS

__all__ = ["Serving"]


class Serving:
    """The `export_outputs` of a program in a state, for whoever stores them.

    Args:
        program: its PREDICT spec says what is answered.
        state: parameters and rest are used; they may lie on any mesh of this process.
        receiver: what a client sends -> features of the model function, in terms of
            JAX; by default they are the same.
    """

    def __init__(
        self,
        program: Program,
        state: TrainState,
        *,
        receiver: Callable[[Any], Any] | None = None,
    ):
        self._program = program
        self._state = state
        self._receiver = receiver or (lambda sent: sent)

    def weights(self) -> dict[str, Any]:
        """Everything that the function reads beside features: host arrays by path."""
        return jax.device_get({**self._state.params, **self._state.model_state})

    def outputs(self, sent: Any) -> dict[str, ExportOutput]:
        """The signatures, with shapes and dtypes in place of arrays.

        Args:
            sent: a batch as clients send it, or `jax.ShapeDtypeStruct`s of one, whose
                number of rows may be symbolic.

        Raises:
            SpecError: the model function fails for such a batch.
        """
        return self._forward(sent).result[0].export_outputs

    def function(self, sent: Any) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        """(weights, what a client sends) -> signature -> its tensors; pure.

        Args:
            sent: as for `outputs`.
        """
        forward = self._forward(sent)
        names = tuple(self._state.params)

        def serve(weights: dict[str, Any], sent: Any) -> dict[str, Any]:
            params = {name: weights[name] for name in names}
            model_state = {name: weights[name] for name in self._state.model_state}
            features = self._receiver(sent)
            mask = jnp.ones(row_count(features), bool)
            spec, _ = forward(params, model_state, features, None, mask)
            return {
                name: output.tensors() for name, output in spec.export_outputs.items()
            }

        return serve

    def answers(self, sent: Any) -> dict[str, Any]:
        """What the program itself answers, on its mesh: signature -> host arrays.

        Args:
            sent: a batch as clients send it.
        """
        weights = {**self._state.params, **self._state.model_state}
        lowered = jax.jit(self.function(sent)).lower(weights, sent)
        compiled = self._program.compile(lowered, self._forward(sent))
        return jax.device_get(compiled(weights, sent))

    def compiler_options(self, sent: Any) -> dict[str, dict[str, Any]]:
        """Platform -> XLA's options that the program is compiled with there."""
        convolves = has_convolution(self._forward(sent).jaxpr)
        return {"cpu": CPU_CONVOLUTIONS} if self._program.tuned and convolves else {}

    def is_narrow(self, sent: Any) -> bool:
        """Whether anything is computed with floats of 16 bits or less."""
        return has_narrow_floats(self._forward(sent).jaxpr)

    def _forward(self, sent: Any) -> Traced:
        features = jax.eval_shape(self._receiver, sent)
        traced = self._program.tracer.forward(
            Mode.PREDICT, features, None, placed=False
        )
        check_predictions(traced.result[0].predictions, row_count(features))
        return traced
