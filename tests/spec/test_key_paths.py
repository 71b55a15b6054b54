"""Key paths lead to a tensor, or say where they might have."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from specflow.diagnostics.errors import SpecError
from specflow.runtime.typing import leaves
from specflow.spec.key_paths import resolve, resolve_all

A, B, C = (np.full((2, n), n, np.float32) for n in (1, 2, 3))
SCOPE = {
    "features": {"image": A, "text": {"tokens": B, "length": C}},
    "labels": None,
    "outputs": (A, {"hidden": B}),
    "predictions": {},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("features.image", A),
        ("features.text.tokens", B),
        ("outputs.0", A),
        ("outputs.1.hidden", B),
    ],
)
def test_a_path_descends_into_dicts_and_tuples(path, expected):
    assert resolve(path, SCOPE, where="spec.inputs.x") is expected


class Out(NamedTuple):
    logits: np.ndarray


@pytest.mark.parametrize(
    ("path", "scope", "message"),
    [
        (
            "features.imge",
            SCOPE,
            "features.imge names no tensor. Expected one of features.image, "
            "features.text.tokens, features.text.length. Did you mean features.image?",
        ),
        (
            "features.text",
            SCOPE,
            "features.text is a dict, not a tensor. "
            "Expected one of features.text.tokens, features.text.length.",
        ),
        (
            "outputs.7",
            SCOPE,
            "outputs.7 names no tensor. Expected one of outputs.0, outputs.1.hidden.",
        ),
        ("labels", SCOPE, "labels names no tensor: there are no labels."),
        ("losses.ce", SCOPE, "losses.ce names no tensor: there are no losses."),
        (
            "predictions.p",
            SCOPE,
            "predictions.p names no tensor. Expected a tensor in predictions.",
        ),
        (
            "outputs.logits",
            {"outputs": A},
            "outputs.logits names no tensor: outputs is a single tensor, float32[2,1]. "
            "Expected one of outputs. Did you mean outputs?",
        ),
        (
            "outputs",
            {"outputs": 3.0},
            "outputs is a float, not a tensor. Expected a tensor.",
        ),
    ],
)
def test_a_path_without_a_tensor_is_reported_with_the_existing_paths(
    path, scope, message
):
    with pytest.raises(SpecError) as caught:
        resolve(path, scope, where="spec.inputs.x")
    assert str(caught.value) == f"spec.inputs.x: {message}"
    assert isinstance(caught.value, ValueError)


def test_all_wrong_paths_of_a_component_are_reported_together():
    paths = {"a": "features.b", "b": "features.image", "c": "labels"}
    with pytest.raises(SpecError) as caught:
        resolve_all(paths, SCOPE, where="spec.inputs")
    assert [diagnostic.where for diagnostic in caught.value.diagnostics] == [
        "spec.inputs.a",
        "spec.inputs.c",
    ]


_NAMES = st.sampled_from(["a", "b", "a.b", "b.a", "a.b.a", "Sepal.Length", "0", "a..b"])
_TREES = st.recursive(
    st.builds(lambda: np.zeros(2)),
    lambda inner: st.one_of(
        st.dictionaries(_NAMES, inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=2).map(tuple),
    ),
    max_leaves=6,
)


@given(tree=_TREES)
@example(tree={"b.a": {"a": np.zeros(2)}, "b": {"a": np.ones(2)}})
def test_every_path_listed_by_a_message_resolves(tree):
    listed = list(leaves(tree, "features"))
    paths = [path for path, _ in listed]
    for path, leaf in listed:
        if paths.count(path) == 1:
            found = resolve(path, {"features": tree}, where="spec.inputs.x")
            assert found is leaf
