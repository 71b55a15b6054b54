"""Copies to the host: every row once and in order, whatever the mesh replicates."""

import jax
import numpy as np
import pytest

from specflow.config.sections.mesh import AxesConfig
from specflow.executor import first_rows, to_host
from specflow.mesh import Partitioner, build_mesh

AXES = [
    {"data": 1},
    {"data": 8},
    {"data": 2, "fsdp": 4},
    {"data": 4, "tensor": 2},
    {"tensor": 8},
    {"fsdp": 2, "sequence": 2, "expert": 2},
]


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("rows", [1, 5, 15, 16])
def test_rows_are_copied_once_and_in_order_from_every_mesh(axes, rows):
    """On a mesh with model axes every shard of a batch is replicated:
    joining all of them would give 32 rows, each twice."""
    tensors = {
        "a": np.arange(16),
        "b": np.arange(48.0, dtype=np.float32).reshape(16, 3),
    }
    place = Partitioner(build_mesh(AxesConfig(**axes)))
    on_devices = jax.device_put(tensors, place.rows())
    rows_on_host = first_rows(to_host(on_devices), rows)
    for name, array in tensors.items():
        assert isinstance(rows_on_host[name], np.ndarray)
        np.testing.assert_array_equal(rows_on_host[name], array[:rows])
    on_host = to_host(jax.device_put(tensors, place.replicated))
    np.testing.assert_array_equal(on_host["b"], tensors["b"])


def test_the_structure_of_the_tensors_is_kept():
    rows_on_host = first_rows([np.arange(4), {"x": np.arange(4)}], 2)
    assert [rows_on_host[0].tolist(), rows_on_host[1]["x"].tolist()] == [[0, 1], [0, 1]]
