"""`data=mixture`: its section, the data of its parts, and a run that is resumed."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from specflow.cli.main import main
from specflow.compose import compose
from specflow.config.sections.mixture import MixtureConfig, tables_of
from specflow.data import JoinedSource, MixtureSource, build_data
from specflow.data.known_rows import known_rows
from specflow.diagnostics.errors import ConfigError, DataError

PARTS = "data.parts={web: {name: wine}, chat: {name: wine, eval_fraction: 0.5}}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two pairs of `.npz` files and two tables, in the working directory."""
    rng = np.random.default_rng(0)
    for name, rows in (("web", 60), ("web_eval", 8), ("chat", 20), ("chat_eval", 5)):
        x = rng.normal(size=(rows, 3)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x, labels=np.arange(rows) % 2)
    for name, rows, cities in (("main", 50, "ab"), ("more", 30, "abc")):
        lines = [
            f"{rng.normal():.3f},{cities[i % len(cities)]},{i % 2}" for i in range(rows)
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,c,y", *lines]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _npz(name, **more):
    return {"name": "npz", "train": f"{name}.npz", "eval": f"{name}_eval.npz", **more}


def _table(name, **more):
    return {"name": "table", "files": f"{name}.csv", "labels": "y", **more}


def _mixture(**parts):
    return MixtureConfig.model_validate({"parts": parts})


def test_parts_are_mixed_to_train_on_and_evaluated_together_and_apart(folder):
    config = _mixture(web=_npz("web", weight=0.75), chat=_npz("chat", weight=0.25))
    data = build_data(config)
    assert isinstance(data.train, MixtureSource)
    assert {name: float(w) for name, w in data.train.weights.items()} == config.weights
    assert {name: len(rows) for name, rows in data.evaluated().items()} == {
        "eval": 13,
        "web": 8,
        "chat": 5,
    }
    stored = [np.load(folder / f"{name}_eval.npz")["x"] for name in ("web", "chat")]
    np.testing.assert_array_equal(
        data.eval.column("features.x"), np.concatenate(stored)
    )
    assert isinstance(data.eval, JoinedSource)
    assert data.eval.ids["part"].tolist() == ["web"] * 8 + ["chat"] * 5
    # 60 / 0.75 = 80 rows of the stream, and 20 / 0.25 = 80.
    assert known_rows(config) == data.train.epoch_rows == 80


def test_sets_of_a_part_are_sets_under_its_name(folder):
    config = _mixture(web=_npz("web", eval_sets={"dim": "chat_eval.npz"}))
    assert list(config.eval_sets or {}) == ["web", "web_dim"]
    assert list(build_data(config).sets) == ["web", "web_dim"]


def test_rows_that_are_predicted_need_no_labels_in_any_part(folder):
    np.savez(folder / "chat_eval.npz", x=np.zeros((5, 3), np.float32))
    config = _mixture(web=_npz("web"), chat=_npz("chat"))
    data = build_data(config, needs_labels=False)
    assert data.eval.spec()[1] is None
    assert len(data.eval) == 13
    with pytest.raises(DataError):
        build_data(config)


def test_missing_files_of_all_parts_are_reported_at_their_keys(folder):
    config = _mixture(web=_npz("no"), chat=_npz("none", train="chat.npz"))
    with pytest.raises(DataError) as caught:
        build_data(config)
    assert {each.where for each in caught.value.diagnostics} == {
        "data.parts.web.train",
        "data.parts.web.eval",
        "data.parts.chat.eval",
    }


def test_arrays_that_differ_between_parts_are_one_message_before_training(folder):
    for name in ("chat.npz", "chat_eval.npz"):
        np.savez(folder / name, x=np.zeros((4, 2), np.float32), labels=np.zeros(4))
    with pytest.raises(DataError) as caught:
        build_data(_mixture(web=_npz("web"), chat=_npz("chat")))
    assert [str(each) for each in caught.value.diagnostics] == [
        "part chat, features.x: a row is float32[2]. Expected float32[3], as in part "
        "web.",
        "part chat, labels: a row is float32[]. Expected int32[], as in part web.",
    ]


def test_tables_share_the_columns_that_the_first_one_was_fitted_with(folder):
    config = _mixture(main=_table("main"), more=_table("more", split={"eval": 0.5}))
    data = build_data(config)
    columns = data.columns
    assert columns is not None
    assert list(columns.files) == ["main.csv", "more.csv"]
    alone = build_data(tables_of(config)["data.parts.main"])
    assert alone.columns is not None
    assert columns.columns == alone.columns.columns
    assert isinstance(data.train, MixtureSource)
    rows = data.train.parts["main"].column("features.x")
    np.testing.assert_array_equal(rows, alone.train.column("features.x"))
    # c was not seen in the first part: it is in the bucket of others.
    others = data.train.parts["more"].column("features.x")[:, -1]
    assert others.sum() > 0
    assert rows[:, -1].sum() == 0


def test_columns_of_a_run_are_used_and_changed_files_of_any_part_are_refused(folder):
    config = _mixture(main=_table("main"), more=_table("more"))
    first = build_data(config)
    again = build_data(config, columns=first.columns, same_files=True)
    np.testing.assert_array_equal(
        again.train.column("features.x"), first.train.column("features.x")
    )
    (folder / "more.csv").write_text("a,c,y\n1,a,0\n2,b,1\n3,a,1\n4,b,0\n5,a,0\n")
    with pytest.raises(DataError, match=r"more\.csv: has changed since"):
        build_data(config, columns=first.columns, same_files=True)
    fewer = _mixture(main=_table("main"))
    now = build_data(fewer, columns=first.columns, same_files=True)
    (change,) = first.files.changes(now.files)
    assert change.where.endswith("more.csv")
    assert change.problem.startswith("is a file that the run was trained on")


def test_the_test_split_is_that_of_the_parts_that_have_one(folder):
    split = {"eval": 0.2, "test": 0.2}
    config = _mixture(main=_table("main"), more=_table("more", split=split))
    test = build_data(config).split("test")
    assert isinstance(test, JoinedSource)
    assert len(test) == 6
    assert set(test.ids["part"].tolist()) == {"more"}
    with pytest.raises(DataError, match="leaves no row of 50 for test"):
        build_data(_mixture(main=_table("main"))).split("test")


def test_a_function_of_the_user_is_a_part_and_gets_no_weight(folder):
    (folder / "mixed_rows.py").write_text(
        "import numpy as np\n"
        "def load(rows):\n"
        "    x = {'x': np.zeros((rows, 13), np.float32)}, np.zeros(rows, np.int32)\n"
        "    return {'train': x, 'eval': x}\n"
    )
    parts = (
        "data.parts={own: {_target_: mixed_rows.load, rows: 7, weight: 1}, "
        "wine: {name: wine, weight: 3}}"
    )
    experiment = ["experiment=wine", "data=mixture", parts, "trust=[mixed_rows]"]
    config = compose(experiment).config.data
    assert config.eval_sets is None  # The function may return more.
    data = build_data(config)
    assert isinstance(data.train, MixtureSource)
    assert data.train.weights["own"] == 0.25
    assert len(data.sets["own"]) == 7
    with pytest.raises(ConfigError, match=r"data\.parts\.own\._target_"):
        compose(experiment[:-1])


@pytest.mark.parametrize(
    ("values", "where", "expected"),
    [
        (
            {"parts": {"a": _npz("a", weight=1), "b": _npz("b")}},
            ("parts", "b", "weight"),
            "a number above 0, as part a has a weight",
        ),
        (
            {"parts": {"a": _npz("a", weight=1)}, "temperature": 2},
            ("temperature",),
            "1.0, as parts have weights of their own",
        ),
        (
            {"parts": {"a": _npz("a", weight=1)}, "limit": 9},
            ("limit",),
            "null, as parts have weights of their own",
        ),
        (
            {"parts": {"test": _npz("a")}},
            ("parts", "test"),
            "a name other than train, eval and test, which splits have",
        ),
        (
            {"parts": {"a": _npz("a", eval_sets={"b": "b.npz"}), "a_b": _npz("b")}},
            ("parts",),
            "names of parts and their eval_sets of which one is a_b",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, where, expected):
    with pytest.raises(ValidationError) as caught:
        MixtureConfig.model_validate(values)
    (error,) = caught.value.errors()
    assert (error["loc"], error["msg"]) == (where, expected)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("{a: {name: mixture}}", r"data\.parts\.a\.name: got 'mixture'"),
        ("{a: {name: npz, train: a, eval: b, wieght: 1}}", r"Did you mean .*weight"),
        ("{a: {name: wine, weight: 0}}", r"data\.parts\.a\.weight: got 0"),
        ("{}", r"data\.parts: "),
    ],
)
def test_mistakes_in_parts_are_reported_at_their_keys(parts, message):
    with pytest.raises(ConfigError, match=message):
        compose(["experiment=wine", "data=mixture", f"data.parts={parts}"])


def _train(*overrides):
    return main(
        [
            "train",
            "experiment=wine",
            "data=mixture",
            "data.parts={web: {name: wine, weight: 3, split_seed: 1}, "
            "chat: {name: wine, weight: 1, eval_fraction: 0.5}}",
            "loop.batch_size=8",
            "loop.log_every=5",
            "loop.eval_every=0",
            "output.reporters=[]",
            *overrides,
        ]
    )


def test_a_run_reports_rows_by_part_and_resumes_with_other_weights(folder, capsys):
    assert _train("loop.train_steps=10", "output.dir=run") == 0
    printed = capsys.readouterr()
    assert "note: mixture of web 0.75 (142 rows), chat 0.25 (89 rows)" in printed.err
    lines = (folder / "run/metrics.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [
        (row["rows/web"], row["rows/chat"]) for row in rows if "rows/web" in row
    ] == [(30, 10), (60, 20)]
    result = json.loads((folder / "run/result.json").read_text())
    assert result["part_rows_seen"] == {"web": 60, "chat": 20}
    assert {name for name in result["eval"] if "/" in name} >= {"web/loss", "chat/loss"}
    changed = "data.parts.chat.weight=3"
    assert _train("loop.train_steps=20", "output.dir=run", changed) == 2
    capsys.readouterr()
    more = ("loop.train_steps=20", "output.dir=run", "output.on_change=accept")
    assert _train(*more, changed) == 0
    result = json.loads((folder / "run/result.json").read_text())
    assert result["part_rows_seen"] == {"web": 100, "chat": 60}
