"""Every member of the `model` word is built, and takes its sizes from the data."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import TypeAdapter, ValidationError

from specflow.config.base import Target
from specflow.config.sections.decoder_model import DecoderConfig
from specflow.config.sections.image_models import ResNetConfig, ViTConfig
from specflow.config.sections.model import CnnConfig, MlpConfig, ModelConfig
from specflow.config.sections.other_models import (
    LinearConfig,
    TransformerConfig,
    WideAndDeepConfig,
)
from specflow.diagnostics.errors import ConfigError
from specflow.model.build_model import build_model
from specflow.model.nnx_module import SplitModel

FLOATS = jax.ShapeDtypeStruct((32, 6), np.float32)
IMAGE = jax.ShapeDtypeStruct((32, 9, 7, 2), np.float32)
TOKENS = jax.ShapeDtypeStruct((32, 5), np.int32)

MEMBERS = {
    LinearConfig: (LinearConfig(outputs=3), "x", FLOATS, (32, 3)),
    MlpConfig: (MlpConfig(hidden=[8, 4]), "x", FLOATS, (32, 10)),
    WideAndDeepConfig: (WideAndDeepConfig(hidden=[8]), "x", FLOATS, (32, 10)),
    CnnConfig: (CnnConfig(widths=[4, 8, 8], hidden=6), "image", IMAGE, (32, 10)),
    TransformerConfig: (
        TransformerConfig(vocabulary=11, layers=2, width=8, heads=2),
        "tokens",
        TOKENS,
        (32, 5, 11),
    ),
}


def test_every_member_of_the_word_is_tried_here():
    _, kinds = get_args(ModelConfig)
    elsewhere = {DecoderConfig, ResNetConfig, ViTConfig}  # test_decoder, test_images
    assert {*kinds.members.values()} == {*MEMBERS, *elsewhere, Target}


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_declared_model_runs_on_the_data_it_was_built_for(member, dtype, dropout):
    config, argument, example, expected = MEMBERS[member]
    given = {"dtype": dtype, "dropout": dropout}
    known = {name: given[name] for name in given if name in member.model_fields}
    config = config.model_copy(update=known)
    inputs = {argument: example}
    model = SplitModel(lambda rngs: build_model(config, rngs, inputs=inputs))

    def run(example):
        params, model_state = model.init(jax.random.key(0))
        return model.merge(params, model_state, train=True)(**{argument: example})

    out = jax.eval_shape(run, example)
    assert (out.shape, out.dtype) == (expected, known.get("dtype", "float32"))
    assert {a.dtype.name for a in model.abstract_params.values()} == {"float32"}
    assert bool(model.abstract_model_state) == bool(known.get("dropout"))


def test_sizes_that_the_configuration_gives_need_no_data():
    assert build_model(LinearConfig(inputs=4), nnx.Rngs(0)).head.in_features == 4
    assert build_model(MlpConfig(inputs=4), nnx.Rngs(0)).hidden[0].in_features == 4
    cnn = build_model(CnnConfig(image=[8, 8, 3]), nnx.Rngs(0))
    assert cnn(jnp.ones((2, 8, 8, 3))).shape == (2, 10)


def test_the_only_array_of_the_data_is_taken_under_any_name():
    model = build_model(MlpConfig(), nnx.Rngs(0), inputs={"pixels": IMAGE})
    assert model.hidden[0].in_features == 9 * 7 * 2


@pytest.mark.parametrize(
    ("config", "inputs", "message"),
    [
        (
            MlpConfig(),
            None,
            "model.inputs: is null, and the data does not say it. "
            "Give model.inputs, or say in spec.inputs what x is.",
        ),
        (
            LinearConfig(),
            {"a": FLOATS, "b": TOKENS},
            "model.inputs: is null, and the data does not say it: it has "
            "a float32[32,6], b int32[32,5], but no x. "
            "Give model.inputs, or say in spec.inputs what x is.",
        ),
        (
            CnnConfig(),
            {"image": FLOATS},
            "model.image: an image of the data has the shape [6]. "
            "Expected [height, width, channels].",
        ),
    ],
)
def test_a_size_that_nobody_gives_is_refused(config, inputs, message):
    with pytest.raises(ConfigError) as caught:
        build_model(config, nnx.Rngs(0), inputs=inputs)
    assert str(caught.value) == message


def _target(function, **arguments) -> Target:
    target = Target.model_validate({"_target_": "my_package.Net", **arguments})
    target.bind(function)
    return target


def test_a_target_is_called_with_its_arguments_and_the_random_streams():
    target = _target(nnx.Linear, in_features=3, out_features=2)
    assert build_model(target, nnx.Rngs(0)).out_features == 2


def test_a_target_that_returns_no_module_is_refused():
    with pytest.raises(ConfigError) as caught:
        build_model(_target(lambda rngs: {}), nnx.Rngs(0))
    assert str(caught.value) == (
        "model._target_: my_package.Net returned builtins.dict. "
        "Expected a flax.nnx.Module or a flax.linen.Module."
    )


@pytest.mark.parametrize(
    "fields", [{"heads": 3}, {"width": 12, "heads": 4, "positions": "rotary"}]
)
def test_heads_must_fit_the_width(fields):
    with pytest.raises(ValidationError, match="heads"):
        TypeAdapter(ModelConfig).validate_python({"name": "transformer", **fields})


def test_the_affine_map_of_wide_and_deep_may_see_something_else():
    inputs = {"x": FLOATS, "wide": jax.ShapeDtypeStruct((32, 4, 2), np.float32)}
    config = WideAndDeepConfig(hidden=[5], outputs=2)
    model = SplitModel(lambda rngs: build_model(config, rngs, inputs=inputs))
    shapes = {name: array.shape for name, array in model.abstract_params.items()}
    assert shapes["wide.kernel"] == (8, 2)
    assert shapes["deep.hidden.0.kernel"] == (6, 5)
