"""Complex numbers are refused: as features and labels they trained silently."""

import numpy as np
import pytest

from specflow.data import as_source, as_train_batches
from specflow.diagnostics.errors import DataError

REAL, WAVES = np.ones((8, 2), np.float32), np.ones((8, 3), np.complex64)
HINT = "Expected real numbers. Give the real and the imaginary part as two arrays."


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_a_complex_array_is_named_with_its_type(dtype):
    with pytest.raises(DataError) as refused:
        as_source(({"x": REAL, "wave": WAVES.astype(dtype)}, WAVES))
    assert str(refused.value).splitlines() == [
        f"features.wave: is {np.dtype(dtype).name}[8,3]. {HINT}",
        f"labels: is complex64[8,3]. {HINT}",
    ]


def test_a_complex_array_of_a_batch_is_named_too():
    batches = as_train_batches(
        iter([({"x": REAL}, WAVES)]), batch_size=8, steps_per_chunk=1
    )
    with pytest.raises(DataError, match=r"labels: is complex64\[8,3\] \(.*\)\. Exp"):
        next(iter(batches))
