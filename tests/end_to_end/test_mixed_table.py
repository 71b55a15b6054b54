"""A table of 5,000 rows with every kind of column: from a file to an export.

Ground truth: scikit-learn's logistic regression on the same fitted features, and the
features that were evaluated.
"""

import csv
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

import specflow as sf
from specflow.cli.main import main
from specflow.compose import compose
from specflow.data import build_data

ROWS = 5_000
NAMES = ("age", "income", "city", "job", "tags", "since", "note")
WORDS = ("late", "early", "good", "bad", "paid", "moved")
COLUMNS = {
    "income": "{name: number, transform: log, quantiles: 4}",
    "city_job": "{name: cross, of: [city, job], hash_buckets: 16}",
    "tags": "{name: set}",
    "since": "{name: date, parts: [month, weekday]}",
    "note": "{name: text, max_size: 20}",
}
TABLE = (
    "experiment=table",
    "data.labels=bought",
    "data.id=key",
    f"data.features=[{', '.join(NAMES)}, city_job]",
    *(f"data.columns.{name}={value}" for name, value in COLUMNS.items()),
    "data.split={eval: 0.2, by: hash, column: key}",
    "output.reporters=[]",
    "mesh=single",
    "loop.eval_every=0",
)


def _rows():
    """Raw rows; the label depends on every column, and on chance."""
    rng = np.random.default_rng(7)
    for row in range(ROWS):
        age = "" if row % 19 == 0 else int(rng.integers(18, 80))
        income = round(float(np.exp(rng.normal(8.0, 0.7))), 2)
        city = str(rng.choice(["Rome", "Oslo", "Lima", ""], p=[0.4, 0.3, 0.2, 0.1]))
        job = str(rng.choice(["cook", "nurse", "clerk"]))
        tags = [tag for tag in ("new", "vip", "web") if rng.random() < 0.4]
        month, day = int(rng.integers(1, 13)), int(rng.integers(1, 29))
        since = "" if row % 23 == 0 else f"2024-{month:02d}-{day:02d}"
        note = " ".join(rng.choice(WORDS, int(rng.integers(0, 5))))
        score = (
            (0.0 if age == "" else (age - 50) / 20)
            + (income > 3000)
            + (city == "Rome") * (job == "nurse") * 2.0
            + ("vip" in tags)
            - (month < 4)
            + note.count("good")
            - note.count("bad")
        )
        bought = "yes" if rng.logistic() < score - 0.5 else "no"
        cells = [age, income, city, job, "|".join(tags), since, note]
        yield [f"k{row}", *cells, bought]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("mixed") / "buyers.csv"
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([["key", *NAMES, "bought"], *_rows()])
    return path


def _probabilities(path):
    """Key -> probability of yes, as predicted."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["key"]: row["probability"] for row in rows}


def test_a_linear_model_converges_to_that_of_scikit_learn(file, tmp_path, capsys):
    arguments = (*TABLE, f"data.files={file}", "model=linear", "model.outputs=null")
    data = build_data(compose(arguments).config.data)
    features, labels = data.train.take(slice(None))
    held, held_labels = data.eval.take(slice(None))
    loop = f"loop.batch_size={len(data.train)}"
    train = ["train", *arguments, loop, "loop.train_steps=500", "optimizer=adam"]
    train += ["optimizer.lr=0.05", "optimizer.schedule={name: cosine}"]
    run = tmp_path / "run"
    assert main([*train, f"output.dir={run}"]) == 0, capsys.readouterr().err
    output = tmp_path / "held.jsonl"
    assert main(["predict", f"run={run}", "--output", str(output)]) == 0
    found = _probabilities(output)
    reference = LogisticRegression(C=np.inf, max_iter=5_000, tol=1e-8)
    reference.fit(features["x"].astype(np.float64), labels)
    expected = reference.predict_proba(held["x"].astype(np.float64))[:, 1]
    assert len(found) == len(expected) == len(data.eval)
    np.testing.assert_allclose(list(found.values()), expected, atol=2e-3)
    result = json.loads((run / "result.json").read_text())["eval"]
    assert result["loss"] == pytest.approx(log_loss(held_labels, expected), abs=2e-3)
    assert result["auc"] == pytest.approx(
        roc_auc_score(held_labels, expected), abs=2e-3
    )


def test_wide_and_deep_trains_and_its_export_takes_raw_rows(file, tmp_path, capsys):
    arguments = [f"data.files={file}", "model=wide_and_deep", "model.outputs=null"]
    arguments += ["model.hidden=[32]", "loop.train_steps=200", "optimizer.lr=0.003"]
    arguments += ["data.columns.job={name: category, encoding: embedding}"]
    run = tmp_path / "run"
    train = ["train", *TABLE, *arguments, f"output.dir={run}"]
    assert main(train) == 0, capsys.readouterr().err
    result = json.loads((run / "result.json").read_text())["eval"]
    assert result["auc"] > 0.75
    output = tmp_path / "held.jsonl"
    assert main(["predict", f"run={run}", "--output", str(output)]) == 0
    predicted = _probabilities(output)
    assert main(["export", f"run={run}"]) == 0
    (path,) = (run / "export").iterdir()
    rows = [dict(zip(("key", *NAMES), row, strict=False)) for row in _rows()]
    held = [row for row in rows if row["key"] in predicted][:200]
    raw = {name: [row[name] for row in held] for name in NAMES}
    raw["age"] = [None if age == "" else age for age in raw["age"]]
    served = sf.load_export(path)("serving_raw", **raw)
    np.testing.assert_allclose(
        np.asarray(served["probability"]).reshape(-1),
        [predicted[row["key"]] for row in held],
        rtol=1e-5,
    )
