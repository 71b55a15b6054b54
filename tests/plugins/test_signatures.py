"""Sections derived from signatures."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Float
from pydantic import ValidationError

from specflow.config.key_path import key_paths
from specflow.config.plugins.signature import derived

THREE = np.zeros(3)
LEAVES = {
    int: st.integers(-9, 9),
    float: st.floats(-9, 9),
    bool: st.booleans(),
    str: st.text("ab"),
    Literal["a", "b"]: st.sampled_from("ab"),
}


def _types():
    """Annotation, and a strategy for its YAML values."""
    leaf = st.sampled_from(list(LEAVES.items()))
    return st.one_of(
        leaf,
        leaf.map(lambda pair: (pair[0] | None, st.none() | pair[1])),
        leaf.map(lambda pair: (list[pair[0]], st.lists(pair[1], max_size=3))),
        leaf.map(lambda pair: (Sequence[pair[0]], st.lists(pair[1], max_size=3))),
        leaf.map(
            lambda pair: (
                Mapping[str, pair[0]],
                st.dictionaries(st.text("ab"), pair[1], max_size=2),
            )
        ),
    )


@st.composite
def calls(draw):
    """A function, and valid arguments for it."""
    parameters, values = [], {}
    for name in draw(st.lists(st.sampled_from("abcdef"), unique=True)):
        annotation, strategy = draw(_types())
        default = inspect.Parameter.empty
        if draw(st.booleans()):
            default = draw(strategy)
        if default is inspect.Parameter.empty or draw(st.booleans()):
            values[name] = draw(strategy)
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(
            inspect.Parameter(name, kind, default=default, annotation=annotation)
        )

    def function(**taken):
        return taken

    function.__signature__ = inspect.Signature(parameters)
    return function, values


@settings(max_examples=50)
@given(calls())
def test_a_derived_section_passes_the_arguments_of_its_function(call):
    function, values = call
    section = derived(function, name="drawn", group="specflow.data")
    bound = inspect.signature(function).bind(**values)
    bound.apply_defaults()
    made = section.model_validate({"name": "drawn", **values})
    assert made() == bound.arguments
    # The config recorded in a run directory gives the same.
    again = section.model_validate(made.model_dump(by_alias=True))
    assert again() == made()


@settings(max_examples=25)
@given(calls(), st.sampled_from(["aa", "g", "nme", "build"]))
def test_a_derived_section_refuses_unknown_keys(call, other):
    function, values = call
    section = derived(function, name="drawn", group="specflow.data")
    with pytest.raises(ValidationError) as caught:
        section.model_validate({"name": "drawn", **values, other: 1})
    assert [message["loc"] for message in caught.value.errors()] == [(other,)]


@pytest.mark.parametrize(
    ("annotation", "value", "handed"),
    [
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[str], ["a"], {"a"}),
        (Path, "rows.csv", Path("rows.csv")),
        (Path | None, None, None),
        (int | Callable[[int], int], 3, 3),
        (Any, {"a": [1]}, {"a": [1]}),
    ],
)
def test_yaml_values_are_converted_to_annotated_types(annotation, value, handed):
    def load(it):
        return it

    load.__annotations__["it"] = annotation
    section = derived(load, name="load", group="specflow.data")
    assert section.model_validate({"it": value})() == handed


def test_arguments_that_yaml_cannot_hold_keep_their_defaults():
    def net(width: int, act: Callable[[Any], Any] = abs, init=np.zeros, *, rngs):
        return width, act, init, rngs

    section = derived(net, name="net", group="specflow.models")
    assert set(section.model_fields) == {"name", "width"}
    assert section(width=3)(rngs="streams", inputs={}) == (3, abs, np.zeros, "streams")


@pytest.mark.parametrize(
    ("module", "fields"),
    [
        (nnx.LayerNorm, {"num_features", "epsilon", "use_bias", "use_scale"}),
        (linen.Dense, {"features", "use_bias"}),
    ],
)
def test_flax_modules_are_components(module, fields):
    section = derived(module, name="net", group="specflow.models")
    assert fields <= section.model_fields.keys()
    assert not {"rngs", "parent"} & section.model_fields.keys()


def test_tensors_are_recognized_by_name_or_annotation():
    def loss(
        logits,
        labels,
        far: jax.Array,
        near: Float[Array, " b"] | None = None,
        other: np.ndarray = THREE,
        scale=1.0,
        mode="log",
    ):
        return logits, labels, far, near, other, scale, mode

    section = derived(loss, name="loss", group="specflow.losses")
    made = section.model_validate({"far": "features.x", "scale": "features.scale"})
    assert key_paths(made) == {
        "logits": "outputs",
        "labels": "labels",
        "far": "features.x",
        # Without an annotation, a text that starts like a key path is one.
        "scale": "features.scale",
    }
    tensors = {"logits": 1, "labels": 2, "far": 3, "scale": 4, "example_weights": 5}
    assert made(**tensors) == (1, 2, 3, None, pytest.approx(THREE), 4, "log")
    with pytest.raises(ValidationError):
        section.model_validate({"far": "feature.x"})


def test_an_argument_may_be_called_like_a_field_of_every_section():
    def load(path: str, build: int, copy: bool = False):
        return path, build, copy

    section = derived(load, name="load", group="specflow.data")
    made = section.model_validate({"path": "a", "build": 2})
    assert made() == ("a", 2, False)
    assert made.model_dump(by_alias=True) == {
        "name": "load",
        "path": "a",
        "build": 2,
        "copy": False,
    }
