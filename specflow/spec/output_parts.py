"""Parts of the outputs of a model, for losses of several columns of labels."""

import itertools
from collections.abc import Mapping
from typing import Any

from jaxtyping import Array

from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.runtime.typing import describe, is_array

__all__ = ["divided"]


def divided(outputs: Any, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Divides the last axis of the outputs.

    Args:
        outputs: of a model, "b d".
        sizes: name of a part -> its size, in order; their sum is d.

    Raises:
        SpecError: the outputs are no array of that size.

    >>> import numpy as np
    >>> parts = divided(np.zeros((4, 5)), {"risk": 3, "price": 2})
    >>> parts["price"].shape
    (4, 2)
    """
    total = sum(sizes.values())
    if not is_array(outputs) or outputs.ndim < 2 or outputs.shape[-1] != total:
        raise spec_error(
            Diagnostic(
                "spec.outputs",
                f"the outputs of the model are {describe(outputs)}",
                expected=f"a last axis of {total}, the sum of the parts",
                hint=f"Set model.outputs={total}.",
                code="spec-shapes",
            )
        )
    ends = itertools.accumulate(sizes.values())
    return {
        name: outputs[..., end - size : end]
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
