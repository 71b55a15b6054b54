"""The presets of `conf/mesh` fit every model of the zoo and shard what is large."""

import math

import numpy as np
import pytest
from flax import nnx

from specflow.compose import compose
from specflow.compose.read.config_folders import folders
from specflow.mesh import Partitioner, build_mesh
from specflow.model import split_model
from specflow.model.build_model import build_model

PRESETS = sorted(folders().choices("mesh"))
IMAGE = {"image": np.zeros((2, 8, 8, 1), np.float32)}
TOKENS = {"tokens": np.zeros((2, 8), np.int32)}
MODELS = {
    "mlp": (["model.hidden=[64]", "model.outputs=8"], IMAGE),
    "cnn": (["model.outputs=8"], IMAGE),
    "transformer": ([], TOKENS),
    "decoder": (["model.heads=8", "model.kv_heads=8"], TOKENS),
}


def partitioner_of(preset):
    mesh = compose([f"mesh={preset}"]).config.mesh
    built = build_mesh(mesh.axes, slices=mesh.slices)
    return Partitioner(built, mesh.rules, mesh.logical)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    overrides, inputs = MODELS[request.param]
    config = compose([f"model={request.param}", *overrides]).config.model
    return split_model(lambda rngs: build_model(config, rngs, inputs=inputs))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_fits_every_model_and_shards_all_large_parameters(preset, model):
    partitioner = partitioner_of(preset)
    params = model.abstract_params
    assert partitioner.warnings(params, model.dim_names) == []
    shardings = partitioner.params(params, model.dim_names)
    held = sum(
        math.prod(shardings[path].shard_shape(array.shape))
        for path, array in params.items()
    )
    total = sum(math.prod(array.shape) for array in params.values())
    parts = partitioner.mesh.size // partitioner.mesh.shape["data"]
    # Replicated: biases, norms, and dimension names without an axis.
    assert held <= 1.3 * total / parts


def test_the_documented_presets_exist():
    documented = {"single", "data", "fsdp", "tensor", "fsdp_tensor", "hybrid"}
    assert documented <= set(PRESETS)


def test_stacked_layers_are_never_sharded_over_the_stack():
    """A scan over a sharded dimension would send every layer to every device."""

    def build(rngs):
        @nnx.split_rngs(splits=16)
        @nnx.vmap(transform_metadata={nnx.PARTITION_NAME: "layers"})
        def stacked(rngs):
            init = nnx.with_partitioning(nnx.initializers.ones, ("embed", "mlp"))
            return nnx.Linear(8, 8, kernel_init=init, use_bias=False, rngs=rngs)

        return stacked(rngs)

    model = split_model(build)
    assert model.dim_names == {"kernel": ("layers", "embed", "mlp")}
    for preset in ("fsdp", "hybrid", "tensor", "fsdp_tensor"):
        placed = partitioner_of(preset).placements(
            model.abstract_params, model.dim_names
        )
        assert placed["kernel"].axes[0] == ()
        assert not placed["kernel"].is_replicated
