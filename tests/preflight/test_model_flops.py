"""FLOPs of whole models, against 6 N and attention by hand, within one per cent.

Source: Kaplan et al., Scaling laws for neural language models, 2020, section 2.1;
Chowdhery et al., PaLM, 2022, appendix B: 12 layers x heads x size x tokens more for
each token. Embeddings that are looked up multiply nothing.
"""

import math

import pytest

from specflow.compose import compose
from specflow.contract import Mode
from specflow.data import build_data
from specflow.estimator import TPUEstimator

SMALL = ["data.max_bytes=200000", "data.length=64", "loop.batch_size=16",
         "loop.eval_batch_size=16"]  # fmt: skip


def lowered(overrides, tmp_path):
    config = compose([*overrides, *SMALL]).config
    data = build_data(config.data)
    estimator = TPUEstimator.from_config(config, data=data, model_dir=tmp_path)
    form = estimator.batch_form(data.train, Mode.TRAIN)
    estimator.program.lower(Mode.TRAIN, *form, steps=4)
    params = estimator.program.model.abstract_params
    return config, estimator.program.lowered[Mode.TRAIN], params


def by_hand(config, params, *, attention_width):
    tokens = config.loop.batch_size * config.data.length
    weights = sum(
        math.prod(array.shape)
        for path, array in params.items()
        if "embed" not in path and "norm" not in path and "bias" not in path
    )
    square = 12 * config.model.layers * attention_width * config.data.length
    return tokens * (6 * weights + square)


def test_a_transformer_takes_six_operations_for_each_weight_and_token(tmp_path):
    config, program, params = lowered(
        ["experiment=stdlib_lm", "model.width=64"], tmp_path
    )
    hand = by_hand(config, params, attention_width=config.model.width)
    assert program.flops.unknown == ()
    assert program.flops.total == pytest.approx(hand, rel=0.01)
    assert program.model_flops == program.flops


@pytest.mark.parametrize("remat", ["none", "full"])
def test_remat_adds_to_what_is_computed_and_not_to_what_the_model_takes(
    remat, tmp_path
):
    config, program, params = lowered(
        ["experiment=lm_10m", "model.layers=3", "model.width=64", "model.heads=4",
         "model.kv_heads=2", "model.vocabulary=256", f"model.remat={remat}",
         "model.head=untied", "model.dtype=float32"],
        tmp_path,
    )  # fmt: skip
    hand = by_hand(config, params, attention_width=config.model.width)
    assert program.model_flops.total == pytest.approx(hand, rel=0.01)
    ratio = program.flops.total / program.model_flops.total
    # All layers once more: a third of their part of a step, the head's excepted.
    assert (ratio == 1) if remat == "none" else (1.1 < ratio < 4 / 3)
