"""Every kind of declared column from a file to a served model.

Ground truth: features that NumPy makes of raw rows by the document are bit for bit
those of the run, and scores of served rows those of predicted ones.
"""

import json

import numpy as np
import pytest
import yaml

import specflow as sf
from specflow.cli.main import main
from specflow.columns import FittedColumns
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from tests.data.table.test_feature_columns import assert_same_bits

ROWS = 96
RNG = np.random.default_rng(0)
COLUMNS = """{
    age: {name: number, buckets: [30, 50]},
    size: {name: number, size: 2},
    city: {name: category, identity: 4, encoding: embedding, shared: places},
    visited: {name: set, identity: 4, encoding: embedding, shared: places,
        combiner: sqrtn, weights: stays},
    tags: set,
    born: {name: date, zone: Europe/Rome, since: '2000-01-01'},
    weekday: {name: date, column: born, parts: [weekday], encoding: one_hot},
    note: {name: text, ngrams: 2, max_size: 20},
    words: {name: text, column: note, encoding: embedding, max_norm: 1.0},
    age_city: {name: cross, of: [age, city, weekday], hash_buckets: 50},
    tag_city: {name: cross, of: [tags, city], hash_buckets: 9, encoding: embedding}
}""".replace("\n", " ")


def row(number):
    """A row; some values are missing."""
    city = int(RNG.integers(0, 4))
    month, day, hour = number % 12 + 1, number % 28 + 1, number % 24
    visited = RNG.integers(0, 4, RNG.integers(0, 4)).tolist()
    return {
        "age": None if number % 13 == 0 else int(RNG.integers(18, 80)),
        "size": RNG.normal(size=2).round(3).tolist(),
        "city": city,
        "visited": visited,
        "stays": RNG.integers(1, 9, len(visited)).tolist(),
        "tags": "|".join(RNG.choice(["new", "old", "shy"], number % 3)),
        "born": f"2001-{month:02d}-{day:02d}T{hour:02d}:30Z",
        "note": " ".join(RNG.choice(["Good", "bad", "very", "so"], 1 + number % 3)),
        "key": number,
        "kind": ["low", "mid", "high"][city % 3],
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds") / "rows.jsonl"
    lines = [json.dumps(row(number)) for number in range(ROWS)]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("model", ["mlp", "linear", "wide_and_deep"])
def test_every_kind_reaches_every_model_of_tables(model, file, tmp_path, capsys):
    run = tmp_path / "run"
    arguments = [
        "experiment=table",
        f"model={model}",
        "model.outputs=null",
        f"data.files={file}",
        "data.labels=kind",
        "data.id=key",
        f"data.columns={COLUMNS}",
        f"output.dir={run}",
        "output.reporters=[]",
        "loop.train_steps=2",
        "loop.eval_every=0",
    ]
    hidden = [] if model == "linear" else ["model.hidden=[4]"]
    assert main(["train", *arguments, *hidden]) == 0
    if model != "mlp":
        return
    assert main(["export", f"run={run}"]) == 0
    capsys.readouterr()
    assert main(["predict", f"run={run}", "--split", "train"]) == 0
    lines = capsys.readouterr().out.splitlines()
    predicted = {row["key"]: row["probability"] for row in map(json.loads, lines)}
    (path,) = (run / "export").iterdir()
    loaded = sf.load_export(path)
    served = loaded.columns
    assert served is not None
    fitted = FittedColumns.read(run / "columns.json")
    assert len(predicted) == fitted.rows["train"]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = [each for each in rows if each["key"] in predicted]
    raw = {name: [each[name] for each in rows] for name in fitted.sources}
    scores = loaded("serving_raw", **raw)["scores"]
    # The batch sizes differ, and so may the order of sums.
    expected = [predicted[each["key"]] for each in rows]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    config = TableConfig(
        files=[str(file)], labels=["kind"], id=["key"], columns=yaml.safe_load(COLUMNS)
    )
    train = build_data(config, columns=fitted).train
    assert_same_bits(served(raw), train.take(np.arange(len(rows)))[0])


def test_a_model_of_ones_own_takes_sequences_by_column(file, tmp_path, monkeypatch):
    (tmp_path / "reader.py").write_text(
        "import jax.numpy as jnp\n"
        "from flax import nnx\n"
        "class Reader(nnx.Module):\n"
        "    def __init__(self, rngs):\n"
        "        self.embed = nnx.Embed(30, 4, rngs=rngs)\n"
        "        self.head = nnx.Linear(5, 3, rngs=rngs)\n"
        "    def __call__(self, tokens, mask, age):\n"
        "        hidden = jnp.where(mask[..., None], self.embed(tokens), 0.0)\n"
        "        for step in range(tokens.shape[1]):\n"
        "            last = hidden[:, step] if not step else last + hidden[:, step]\n"
        "        return self.head(jnp.concatenate([last, age[:, None]], axis=1))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    columns = "{note: {name: text, encoding: sequence, max_size: 20}, age: number}"
    inputs = "{tokens: features.note.ids, mask: features.note.mask, age: features.age}"
    arguments = [
        "trust=reader",
        "experiment=table",
        "model={_target_: reader.Reader}",
        f"data.files={file}",
        "data.labels=kind",
        "data.features=[note, age]",
        f"data.columns={columns}",
        "data.columns.age={name: number, indicator: false}",
        "data.joined=false",
        "~spec.inputs.x",
        f"spec.inputs={inputs}",
        "output.dir=run",
        "output.reporters=[]",
        "loop.train_steps=2",
        "loop.eval_every=0",
    ]
    assert main(["train", *arguments]) == 0
