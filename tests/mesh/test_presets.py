"""The presets of `conf/mesh` fit every model of the zoo, and cut what counts."""

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
def test_a_preset_fits_every_model_and_leaves_nothing_large_whole(preset, model):
    partitioner = partitioner_of(preset)
    params = model.abstract_params
    assert partitioner.warnings(params, model.dim_names) == []
    shardings = partitioner.params(params, model.dim_names)
    held = sum(
        math.prod(shardings[path].shard_shape(array.shape))
        for path, array in params.items()
    )
    whole = sum(math.prod(array.shape) for array in params.values())
    parts = partitioner.mesh.size // partitioner.mesh.shape["data"]
    # What stays whole: biases, norms, and names that the table does not cut.
    assert held <= 1.3 * whole / parts


def test_the_presets_are_those_that_were_promised():
    promised = {"single", "data", "fsdp", "tensor", "fsdp_tensor", "hybrid"}
    assert promised <= set(PRESETS)


def test_stacked_layers_are_never_cut_along_the_stack():
    """A scan over a dimension that is cut would send every layer to every device."""

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
        assert not placed["kernel"].is_whole
