"""Tables that cannot be used: whole reports, with file, line, column and value."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from specflow import DataError, SpecflowWarning
from specflow.cli.main import main
from specflow.columns import FittedColumns
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from tests.compose.conftest import golden

__all__ = ["golden"]

GOOD = "".join(f"{row},{'ab'[row % 2]},{row % 2}\n" for row in range(40))
HEADER = "n,c,y\n"
SETTINGS = {
    "duplicate_header": (["t.csv"], {}),
    "empty": (["t.csv", "none.csv", "*.tsv", "t.xlsx"], {}),
    "header_alone": (["t.csv"], {}),
    "misfit_rows": (["t.csv"], {}),
    "missing_column": (["t.csv"], {"labels": ["yy"], "id": ["key"]}),
    "bad_cells": (["t.csv"], {}),
    "bad_cells_of_declared": (
        ["t.csv"],
        {"columns": {"n": {"name": "number", "missing": "error", "transform": "log"}}},
    ),
    "all_missing": (["t.csv"], {}),
    "identifier": (["t.csv"], {"split": {"eval": 0.1}}),
    "unseen_class": (["t.csv"], {"split": {"by": "column", "column": "split"}}),
    "no_split_of_that_name": (
        ["t.csv"],
        {"split": {"by": "column", "column": "split"}},
    ),
    "one_row": (["t.csv"], {}),
    "semicolons": (["t.csv"], {"labels": ["y"]}),
    "other_columns": (["a.csv", "b.csv"], {}),
    "truncated_parquet": (["t.parquet"], {}),
    "mixed_types": (["a.parquet", "b.parquet"], {}),
    "objects": (["t.parquet"], {}),
    "json_lines": (["t.jsonl"], {}),
    "latin_1": (["t.csv"], {}),
    "latin_1_in_json": (["t.jsonl"], {}),
    "latin_1_vocabulary": (
        ["t.csv"],
        {"columns": {"c": {"name": "category", "vocabulary_file": "words.txt"}}},
    ),
    "utf_16": (["t.csv"], {}),
    "nul": (["t.csv"], {}),
    "nul_in_header": (["t.csv"], {}),
    "streamed_latin_1": (["t.csv"], {"shuffle": "blocks"}),
    "streamed_nul": (["t.csv"], {"shuffle": "blocks"}),
    "infinite": (["t.csv"], {}),
    "integers_past_float64": (["t.csv"], {}),
    "wide_integers": (["t.csv"], {"split": {"by": "hash"}}),
    "wide_integer_labels": (["t.csv"], {"split": {"by": "hash"}}),
    "labels_without_values": (["t.csv"], {}),
    "cells_of_other_kinds": (
        ["t.csv"],
        {
            "columns": {
                "day": {"name": "date", "missing": "error"},
                "time": {"name": "date", "format": "%H:%M"},
                "id": {"name": "category", "identity": 40},
                "tags": {"name": "set", "weights": "stays", "missing": "error"},
                "pair": {"name": "number", "size": 2},
                "note": {"name": "text", "missing": "error"},
            },
            "split": {"by": "column", "column": "split"},
        },
    ),
    "columns_that_cannot_be_fitted": (
        ["t.csv"],
        {
            "columns": {
                "c": {"name": "category", "vocabulary_file": "none.txt"},
                "here": {"name": "date", "column": "day", "zone": "Europe/Rom"},
                "day": {"name": "date"},
                "n_c": {"name": "cross", "of": ["n", "day", "c"], "hash_buckets": 9},
                "x": {"name": "cross", "of": ["half", "c"], "hash_buckets": 9},
                "n": "number",
                "half": "ignore",
                "y": "set",
            }
        },
    ),
    "fractional_label": (["t.csv"], {"split": {"by": "column", "column": "split"}}),
}


def write_parquet(name, columns):
    pa.parquet.write_table(pa.table(columns), name)


def files_of(case, folder):
    """Writes the files of a case."""
    splits = "".join(
        f"{row},{'ab'[row % 2]},{row % 2},{'train' if row < 30 else 'eval'}\n"
        for row in range(40)
    )
    texts = {
        "duplicate_header": "n,n,y\n1,2,0\n",
        "empty": "",
        "header_alone": HEADER,
        "misfit_rows": f"{HEADER}1,a,0,9\n{GOOD}7\n",
        "missing_column": HEADER + GOOD,
        "bad_cells": HEADER + GOOD.replace("\n7,", "\nseven,"),
        "bad_cells_of_declared": HEADER
        + GOOD.replace("\n9,", "\n,").replace("\n8,", "\n-8,"),
        "all_missing": HEADER + "".join(f",a,{row % 2}\n" for row in range(20)),
        "identifier": HEADER + "".join(f"{r},t{r},{r % 2}\n" for r in range(2_000)),
        "unseen_class": "n,c,y,split\n" + splits.replace("39,b,1", "39,b,maybe"),
        "no_split_of_that_name": "n,c,y,split\n" + splits.replace("eval", "evall"),
        "one_row": f"{HEADER}1,a,0\n",
        "semicolons": "n;c;y\n1;a;0\n",
        "latin_1": HEADER + GOOD,
        "infinite": HEADER + GOOD.replace("\n5,", "\ninf,"),
        "integers_past_float64": HEADER + GOOD.replace("\n25,", "\n9007199254740993,"),
        "wide_integers": HEADER
        + "".join(f"{2**63 + 1 + 2 * r},a,{r % 2}\n" for r in range(15)),
        "wide_integer_labels": HEADER
        + "".join(f"{r},a,{2**63 + 1 + r % 2}\n" for r in range(12)),
        "labels_without_values": HEADER + "".join(f"{r},a,\n" for r in range(20)),
        "fractional_label": "n,c,y,split\n" + splits.replace("39,b,1", "39,b,1.5"),
    }
    if case == "cells_of_other_kinds":
        rows = [
            f"2026-01-{row % 28 + 1:02d},12:{row:02d},{row},a|b,1|2,1|2,hi,{row % 2}"
            for row in range(40)
        ]
        rows[3] = "2026-02-30,12h,x,a|b,1,1|2|3,hi,1"
        rows[5] = ",12:00,1.5,|,1|2,1|z,.,1"
        rows = [
            f"{row},{'train' if at < 30 else 'eval'}" for at, row in enumerate(rows)
        ]
        header = "day,time,id,tags,stays,pair,note,y,split"
        (folder / "t.csv").write_text("\n".join([header, *rows, ""]))
    if case == "columns_that_cannot_be_fitted":
        rows = [
            f"{row},{row / 2},{'ab'[row % 2]},2026-01-01,{row % 2}" for row in range(40)
        ]
        (folder / "t.csv").write_text("\n".join(["n,half,c,day,y", *rows, ""]))
    if case in texts:
        (folder / "t.csv").write_text(texts[case])
    if case == "unseen_class":
        text = texts[case].replace(",0,", ",no,").replace(",1,", ",yes,")
        (folder / "t.csv").write_text(text)
    if case in ("latin_1", "streamed_latin_1"):
        content = HEADER + GOOD + "1,caf\xe9,0\n" + GOOD
        (folder / "t.csv").write_bytes(content.encode("latin-1"))
    if case == "latin_1_in_json":
        rows = '{"c": "a", "y": 0}\n{"c": "caf\xe9", "y": 1}\n'
        (folder / "t.jsonl").write_bytes(rows.encode("latin-1"))
    if case == "latin_1_vocabulary":
        (folder / "t.csv").write_text(HEADER + GOOD)
        (folder / "words.txt").write_bytes("a\nb\ncaf\xe9\n".encode("latin-1"))
    if case in ("utf_16", "nul_in_header"):
        encoding = "utf-16" if case == "utf_16" else "utf-16-le"
        (folder / "t.csv").write_bytes((HEADER + GOOD).encode(encoding))
    if case in ("nul", "streamed_nul"):
        (folder / "t.csv").write_text(HEADER + GOOD.replace("\n7,b", "\n7,b\0"))
    if case == "empty":
        (folder / "t.xlsx").write_text("x")
    if case == "other_columns":
        (folder / "a.csv").write_text(HEADER + GOOD)
        (folder / "b.csv").write_text("n,cc,y\n1,a,0\n")
    if case == "truncated_parquet":
        write_parquet("t.parquet", {"n": list(range(99)), "y": [0, 1, 0] * 33})
        content = (folder / "t.parquet").read_bytes()
        (folder / "t.parquet").write_bytes(content[:-20])
    if case == "mixed_types":
        write_parquet("a.parquet", {"n": list(range(60)), "y": [0, 1, 0] * 20})
        write_parquet("b.parquet", {"n": ["x", "2"], "y": [0, 1]})
    if case == "objects":
        objects = [{"a": 1}, {"a": 2}, {"a": 3}, None, {"a": 5}]
        write_parquet("t.parquet", {"n": objects, "y": [0, 1, 0, 1, 0]})
    if case == "json_lines":
        (folder / "t.jsonl").write_text('{"n": 1, "y": 0}\n[1]\n{"n": 2,\n')


@pytest.mark.parametrize("case", SETTINGS)
def test_a_bad_table_is_reported_whole(case, tmp_path, monkeypatch, golden):
    monkeypatch.chdir(tmp_path)
    files_of(case, tmp_path)
    names, settings = SETTINGS[case]
    config = TableConfig(**{"files": names, "labels": ["y"], **settings})
    with pytest.raises(DataError) as raised:
        build_data(config)
    golden(f"tables/{case}.txt", f"{raised.value}\n")


def test_the_command_reports_places_before_jax_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files_of("bad_cells", tmp_path)

    def start(composed):
        raise AssertionError("JAX was started")

    monkeypatch.setattr("specflow.commands.jax_session.start", start)
    table = ("data=table", "data.files=t.csv", "data.labels=y")
    assert main(["train", "experiment=wine", *table]) == 2
    assert capsys.readouterr().err == (
        "error[table-cell] t.csv:9, n: got 'seven'. Expected a number, as 31 other "
        "training rows have. Correct the cells, or list such texts of missing numbers "
        "in data.missing. If they are categories: data.columns.n=category.\n"
    )


def test_many_bad_cells_are_counted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + GOOD * 3)
    fitted = build_data(TableConfig(files=[str(path)], labels=["y"])).columns
    fitted = FittedColumns.from_json(json.loads(json.dumps(fitted.to_json())))
    path.write_text(HEADER + GOOD.replace(",a,", ",,") + "x,a,0\n" * 25)
    config = TableConfig(files=[str(path)], labels=["y"], split={"by": "hash"})
    with pytest.warns(SpecflowWarning, match="has changed since the run"):
        with pytest.raises(DataError) as raised:
            build_data(config, columns=fitted)
    lines = str(raised.value).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "column n: 15 further cells like these."


def test_wide_integers_that_are_declared_are_taken(tmp_path):
    path = tmp_path / "t.csv"
    rows = (f"{2**63 + 1 + row % 3},{row},{row % 2}\n" for row in range(60))
    path.write_text("key,n,y\n" + "".join(rows))
    columns = {"key": {"name": "category", "oov_buckets": 0}}
    config = TableConfig(files=[str(path)], labels=["y"], columns=columns)
    fitted = build_data(config).columns.columns["key"]
    assert sorted(fitted.vocabulary) == [str(2**63 + 1 + row) for row in range(3)]
