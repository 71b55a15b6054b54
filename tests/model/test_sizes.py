"""Every size has as many parameters as its name, or as the literature, says."""

import jax
import numpy as np
import pytest

from specflow.compose import compose
from specflow.config.sections.image_models import ResNetConfig, ViTConfig
from specflow.model import SplitModel, build_model

DECODERS = {"10m": 10e6, "124m": 124e6, "1b": 1e9, "7b": 7e9, "70b": 70e9}

TORCHVISION = "torchvision, table of all available classification weights"
TIMM = "timm, results/model_metadata-in1k.csv"
PUBLISHED = {
    # name: fields, parameters, source
    "resnet18": (ResNetConfig(depth=18), 11_689_512, TORCHVISION),
    "resnet50": (ResNetConfig(depth=50), 25_557_032, TORCHVISION),
    "resnet152": (ResNetConfig(depth=152), 60_192_808, TORCHVISION),
    # A group norm has as many as a batch norm.
    "resnet50, group": (ResNetConfig(norm="group"), 25_557_032, TORCHVISION),
    "resnetv2_50": (ResNetConfig(version="v2"), 25_549_352, TIMM),
    "deit_tiny_16": (("vit_ti", {}), 5_717_416, TIMM),
    "deit_small_16": (("vit_s", {}), 22_050_664, TIMM),
    "vit_b_16": (("vit_b", {}), 86_567_656, TORCHVISION),
    "vit_l_16": (("vit_l", {}), 304_326_632, TORCHVISION),
    # By hand: no token of its own, and no place for it: 2 x 768 less; fixed places:
    # 196 x 768 less.
    "mean": (("vit_b", {"pool": "mean"}), 86_567_656 - 2 * 768, "by hand"),
    "fixed": (
        ("vit_b", {"pool": "mean", "positions": "sincos"}),
        86_567_656 - 2 * 768 - 196 * 768,
        "by hand",
    ),
}
IMAGES = {"image": jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)}


def count(config, inputs=None) -> int:
    """By tracing: nothing is allocated."""
    model = SplitModel(lambda rngs: build_model(config, rngs, inputs=inputs))
    return sum(array.size for array in model.abstract_params.values())


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_is_as_large_as_its_name_says(name):
    config = compose([f"experiment=lm_{name}"]).config.model
    sizes = config.sizes()
    # By hand: what attention projects from and to, three products of SwiGLU, two norms.
    heads = config.heads * sizes["head_dim"]
    keys = sizes["kv_heads"] * sizes["head_dim"]
    layer = config.width * (2 * heads + 2 * keys + 3 * sizes["mlp_width"] + 2)
    tables = 1 if config.head == "tied" else 2
    expected = config.layers * layer + config.width * (tables * config.vocabulary + 1)
    assert count(config) == expected
    assert expected == pytest.approx(DECODERS[name], rel=0.03)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.thorough) if name == "resnet152" else name
        for name in PUBLISHED
    ],
)
def test_a_net_for_images_is_as_large_as_the_published_one(name):
    config, expected, _ = PUBLISHED[name]
    if isinstance(config, tuple):
        preset, fields = config
        shipped = compose([f"model={preset}"]).config.model
        config = ViTConfig.model_validate({**shipped.model_dump(), **fields})
    assert count(config, IMAGES) == expected


def test_what_is_null_follows_from_the_rest():
    config = compose(["model=decoder", "model.kv_heads=null"]).config.model
    # 8/3 x 256 = 682.7, up to the next multiple of 128.
    assert config.sizes() == {"kv_heads": 4, "head_dim": 64, "mlp_width": 768}
