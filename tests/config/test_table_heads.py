"""`spec=table`: the declared spec of the labels. Ground truth: the shipped specs."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from specflow import ConfigError
from specflow.columns import LabelColumn
from specflow.compose import compose
from specflow.config.sections.table_spec import TableSpecConfig
from specflow.config.table_heads import TableLabels, possible_metrics, spec_of_labels

KINDS = LabelColumn(kind="class", classes=("a", "b", "c", "d"), counts=(5, 10, 15, 10))
FLAG = LabelColumn(kind="class", classes=("false", "true"), counts=(30, 10))
PRICE = LabelColumn(kind="number", offset=3.0, divisor=2.0)
COUNT = LabelColumn(kind="integer", classes=("0", "1", "3"), counts=(9, 9, 2))


def of(labels, *, weights=None, joined=False, **heads):
    spec = TableSpecConfig.model_validate({"heads": heads})
    return spec_of_labels(
        spec, TableLabels(columns=labels, weights=weights, joined=joined)
    )


@pytest.mark.parametrize(
    ("label", "head", "shipped"),
    [
        (KINDS, {}, "classification"),
        (FLAG, {}, "binary_classification"),
        (PRICE, {}, "regression"),
        (COUNT, {"name": "poisson"}, "poisson"),
    ],
    ids=["classes", "binary", "numbers", "counts"],
)
def test_one_head_is_the_shipped_spec_of_its_kind(label, head, shipped):
    declared = of({"y": label}, y=head)
    expected = compose(["data=wine", "model=mlp", f"spec={shipped}"]).config.spec
    metrics = set(declared.eval_metrics)
    if shipped == "poisson":  # It also has means, to compare.
        metrics |= {"label_mean", "prediction_mean"}
    assert metrics == set(expected.eval_metrics)
    for name, metric in declared.eval_metrics.items():
        assert metric == expected.eval_metrics[name]
    assert declared.predictions == expected.predictions
    assert declared.loss == expected.loss
    assert declared.export_outputs == expected.export_outputs


def test_several_heads_are_parts_of_the_outputs():
    declared = of(
        {"the kind": KINDS, "price": PRICE}, price={"weight": 0.25, "loss": "huber"}
    )
    assert declared.outputs == {"the_kind": 4, "price": 1}
    assert set(declared.loss) == {"the_kind_cross_entropy", "price_huber"}
    loss = declared.loss["price_huber"]
    assert (loss.weight, loss.predictions) == (0.25, "outputs.price")
    assert loss.labels == "targets.price_value"
    assert declared.predictions["price_value"].labels == "labels.price"
    assert declared.loss["the_kind_cross_entropy"].labels == "labels.the kind"
    export = declared.export_outputs["serving_default"]
    assert set(export.outputs) == set(declared.predictions)


def test_columns_with_similar_names_have_different_heads():
    declared = of({"a b": PRICE, "a_b": PRICE, "1": PRICE})
    assert list(declared.outputs) == ["a_b", "a_b_", "_1"]


def test_weights_reach_every_loss_and_metric():
    declared = of({"kind": KINDS, "price": PRICE}, weights="w")
    members = [*declared.loss.values(), *declared.eval_metrics.values()]
    paths = {
        getattr(each, "example_weights", getattr(each, "weights", None))
        for each in members
    }
    assert paths == {"labels.w"}
    assert of({"kind": KINDS}, weights="w").loss["cross_entropy"].labels == (
        "labels.kind"
    )


def test_class_weights_are_those_of_scikit_learn():
    labels = np.repeat(np.arange(4), KINDS.counts)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    loss = of({"y": KINDS}, y={"class_weights": "balanced"}).loss["cross_entropy"]
    np.testing.assert_allclose(loss.class_weights, expected, rtol=1e-15)
    by_name = of({"y": KINDS}, y={"class_weights": {"c": 3.0}}).loss["cross_entropy"]
    assert by_name.class_weights == [1.0, 1.0, 3.0, 1.0]


BAD = {
    "an unknown column": (
        {"kind": KINDS},
        {"knd": {}},
        "spec.heads.knd: names no column of labels. Expected one of kind. Did you mean "
        "kind?",
    ),
    "integers with gaps": (
        {"count": COUNT},
        {},
        "column count: has 3 different integers (0, 1, 3), which may be classes or "
        "numbers. Expected a declared kind. Classes: data.columns.count=category. "
        "Numbers: spec.heads.count.name=regression. Counts: "
        "spec.heads.count.name=poisson.",
    ),
    "numbers as classes": (
        {"price": PRICE},
        {"price": {"name": "classification"}},
        "spec.heads.price: is classification, and column price has numbers. Expected "
        "texts, booleans, or the integers from 0 up. Take its values as classes: "
        "data.columns.price=category.",
    ),
    "classes as numbers": (
        {"kind": KINDS},
        {"kind": {"name": "regression"}},
        "spec.heads.kind: is regression, and column kind has classes: a, b, c, d. "
        "Expected numbers. If they are numbers: data.columns.kind=number.",
    ),
    "class weights of numbers": (
        {"price": PRICE},
        {"price": {"class_weights": "balanced"}},
        "spec.heads.price.class_weights: are given, and the head is regression. "
        "Expected null: numbers have no classes. Weights of rows: "
        "data.weights=<column>.",
    ),
    "an unknown class": (
        {"kind": FLAG},
        {"kind": {"class_weights": {"treu": 2.0}}},
        "spec.heads.kind.class_weights.treu: names no class. Expected one of false, "
        "true. Did you mean true?",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_heads_that_do_not_suit_are_refused(case):
    labels, heads, message = BAD[case]
    with pytest.raises(ConfigError) as raised:
        of(labels, **heads)
    assert str(raised.value) == message


def test_joined_labels_have_one_head():
    declared = of({"a": FLAG, "b": FLAG}, joined=True, weights="w")
    expected = compose(["data=wine", "model=mlp", "spec=multi_label"]).config.spec
    assert declared.predictions == expected.predictions
    assert set(declared.eval_metrics) == set(expected.eval_metrics)
    assert declared.loss["cross_entropy"].labels == "labels.labels"
    assert declared.export_outputs["serving_default"].class_names == ["a", "b"]
    with pytest.raises(ConfigError, match=r"data\.joined_labels=false\.$"):
        of({"a": FLAG, "b": FLAG}, joined=True, a={"weight": 2.0})


def metrics_beside(metrics):
    spec = TableSpecConfig.model_validate({"eval_metrics": metrics})
    return spec_of_labels(spec, TableLabels(columns={"y": FLAG})).eval_metrics


def test_more_metrics_join_those_of_the_heads_and_replace_them_by_name():
    metrics = {
        "bucketed": {"name": "bucketed_auc", "scores": "predictions.probability"},
        "auc": {"name": "auc", "scores": "outputs"},
    }
    made = metrics_beside(metrics)
    assert [*made] == ["auc", "precision", "recall", "accuracy", "bucketed"]
    assert made["auc"].scores == "outputs"
    assert made["bucketed"].labels == "labels"


@pytest.mark.parametrize(
    ("labels", "heads"),
    [
        ({"y": KINDS}, {}),
        ({"y": FLAG}, {"y": {"name": "classification"}}),
        ({"y": PRICE}, {}),
        ({"y": COUNT}, {"y": {"name": "poisson"}}),
        ({"the kind": KINDS, "price": PRICE}, {}),
    ],
)
def test_every_metric_of_a_head_is_possible_before_the_labels_are_read(labels, heads):
    possible = possible_metrics(
        TableSpecConfig.model_validate({"heads": heads}), [*labels]
    )
    assert set(of(labels, **heads).eval_metrics) <= set(possible)


def test_a_metric_that_no_head_has_is_refused_before_the_data_is_read():
    given = ["data=table", "data.files=none.csv", "data.labels=[y]", "spec=table"]
    given += ["model=mlp", "loop.eval_every=2", "spec.heads={y: {name: regression}}"]
    rule = "loop.early_stopping={name: no_decrease, metric: %s, patience_steps: 9}"
    compose([*given, rule % "rmse", "output.checkpoint.best={metric: mae}"])
    with pytest.raises(ConfigError) as error:
        compose([*given, rule % "nope", "output.checkpoint.best={metric: accuracy}"])
    expected = "loss or a metric of spec=table (mae, r2, rmse)"
    found = {each.where: each.expected for each in error.value.diagnostics}
    assert found == {
        "loop.early_stopping.metric": expected,
        "output.checkpoint.best.metric": expected,
    }


def test_a_metric_of_what_no_head_predicts_is_refused():
    wrong = {"name": "accuracy", "predictions": "predictions.clas"}
    with pytest.raises(ConfigError) as error:
        metrics_beside({"mine": wrong})
    assert str(error.value) == (
        "spec.eval_metrics.mine.predictions: got 'predictions.clas'. Expected one of "
        "the declared predictions (predictions.probability, predictions.class)."
    )


def test_other_data_has_no_columns_of_labels():
    with pytest.raises(ConfigError, match="needs columns of labels"):
        spec_of_labels(TableSpecConfig(), None)
    with pytest.raises(ConfigError, match="needs columns of labels"):
        of({})
