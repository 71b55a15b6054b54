"""Key paths to features, of data whose section knows its features."""

import pytest

from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError


@pytest.mark.parametrize(
    ("experiment", "override", "expected"),
    [
        (
            "digits",
            "spec.inputs.image=features.imgae",
            "Expected a feature of data=digits (features.image) "
            "(conf/data/digits.yaml:3:1). Did you mean features.image?",
        ),
        (
            "stdlib_lm",
            "spec.inputs.tokens=features.token",
            "Expected a feature of data=text (features.tokens) "
            "(conf/data/text.yaml:3:1). Did you mean features.tokens?",
        ),
    ],
)
def test_a_feature_that_is_misspelled(experiment, override, expected):
    with pytest.raises(ConfigError) as error:
        compose([f"experiment={experiment}", override])
    key, _, path = override.partition("=")
    assert str(error.value) == f"{key}: got '{path}' (override {override}). {expected}"


def test_other_data_is_chosen_before_its_spec():
    spec = compose(["experiment=digits", "data=wine"]).config.model_dump()["spec"]
    assert spec["inputs"] == {"image": "features.image"}


def test_features_of_a_file_are_not_known():
    npz = ["data=npz", "data.train=a.npz", "data.eval=a.npz"]
    composed = compose(["experiment=digits", *npz, "spec.inputs.image=features.pixels"])
    assert composed.config.model_dump()["spec"]["inputs"] == {
        "image": "features.pixels"
    }
