"""Tables of URLs, from a file system in memory and a server on this machine."""

import http.server
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from specflow import DataError, SpecflowWarning
from specflow.cli.main import main
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from tests.compose.conftest import golden

__all__ = ["golden"]

fsspec = pytest.importorskip("fsspec")

CSV = "n,y\n" + "".join(f"{row},{'ab'[row % 2]}\n" for row in range(40))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("specflow.data.table.read_retries._sleep", lambda seconds: None)


@pytest.fixture
def memory():
    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()


def table(*urls, **settings):
    return build_data(TableConfig(files=list(urls), labels=["y"], **settings))


def test_globs_of_a_store_are_read_in_the_order_of_names(memory, capsys):
    for part in range(3):
        rows = np.arange(part * 20, part * 20 + 20)
        content = pa.BufferOutputStream()
        columns = {"n": rows, "y": rows % 2}
        pa.parquet.write_table(pa.table(columns), content)
        memory.pipe(f"/pears/{part}.parquet", content.getvalue().to_pybytes())
    used = {"id": ["n"], "features": ["n"]}
    data = table("memory://pears/*.parquet", **used, split={"eval": 0.1})
    names = [f"memory:///pears/{part}.parquet" for part in range(3)]
    assert list(data.columns.files) == names
    assert sorted([*data.train.ids["n"], *data.eval.ids["n"]]) == list(range(60))
    assert capsys.readouterr().err.count("data: fetched") == 3
    table("memory://pears/*.parquet", **used)
    assert "fetched" not in capsys.readouterr().err


def test_a_changed_file_is_fetched_anew_and_refused_on_a_resume(memory):
    memory.pipe("/a.csv", CSV.encode())
    fitted = table("memory://a.csv").columns
    config = TableConfig(files=["memory://a.csv"], labels=["y"])
    build_data(config, columns=fitted, same_files=True)
    memory.pipe("/a.csv", CSV.replace("7,b", "8,b").encode())
    with pytest.raises(DataError, match=r"memory:///a\.csv: has changed"):
        build_data(config, columns=fitted, same_files=True)


def test_a_run_of_urls_is_trained_and_predicted_with(memory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    memory.pipe("/a.csv", CSV.encode())
    words = ("experiment=table", "data.files=memory://a.csv", "data.labels=y")
    short = ("loop.train_steps=2", "model.hidden=[4]", "output.reporters=[]")
    assert main(["train", *words, *short, "output.dir=run"]) == 0
    memory.pipe("/new.csv", b"n\n1\n2\n")
    new = ("data.files=memory://new.csv", "--output", "p.csv")
    assert main(["predict", "run=run", *new]) == 0
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 3


class Flaky(http.server.BaseHTTPRequestHandler):
    """A file, after failures: HTTP statuses, or `cut`, which ends in the middle."""

    failures = []
    etag = '"1"'
    requests = 0

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        content = CSV.encode()
        kind = type(self)
        kind.requests += 1
        if not self.path.endswith("a.csv"):
            self.send_error(404)
            return
        failure = kind.failures.pop(0) if body and kind.failures else None
        if isinstance(failure, int):
            self.send_error(failure)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", kind.etag)
        self.end_headers()
        if body:
            self.wfile.write(content[:50] if failure == "cut" else content)
        if failure == "cut":
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    pytest.importorskip("aiohttp")
    Flaky.failures, Flaky.etag = [], '"1"'
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


def test_a_file_of_a_server_is_fetched_once_for_each_content(server, capsys):
    assert len(table(f"{server}/a.csv").train) == 32
    assert "data: fetched http://127.0.0.1" in capsys.readouterr().err
    table(f"{server}/a.csv")
    assert "fetched" not in capsys.readouterr().err
    Flaky.etag = '"2"'
    table(f"{server}/a.csv")
    assert "fetched" in capsys.readouterr().err


@pytest.mark.parametrize("failures", [[503, 429], ["cut"], [500, "cut", 502]])
def test_errors_of_a_server_that_may_not_last_are_tried_again(server, failures):
    Flaky.failures = list(failures)
    with pytest.warns(SpecflowWarning, match="It is tried again"):
        data = table(f"{server}/a.csv")
    assert len(data.train) == 32
    assert Flaky.failures == []


def test_errors_that_last_are_one_message(server, golden):
    Flaky.failures = [503] * 9
    with pytest.warns(SpecflowWarning), pytest.raises(DataError) as raised:
        table(f"{server}/a.csv")
    golden("tables/url_503.txt", str(raised.value).replace(server, "URL") + "\n")
    Flaky.failures = [403]
    with pytest.raises(DataError) as raised:
        table(f"{server}/a.csv")
    golden("tables/url_403.txt", str(raised.value).replace(server, "URL") + "\n")
    with pytest.raises(DataError, match="there is no file"):
        table(f"{server}/b.csv")


def test_urls_that_cannot_be_read_are_reported(memory, golden, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError) as raised:
        table("memory://none.csv", "memory://*.csv", "zzz://a.csv", "s3://bucket/a.csv")
    golden("tables/url.txt", f"{raised.value}\n")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(DataError) as raised:
        table("s3://bucket/a.csv")
    golden("tables/url_without_fsspec.txt", f"{raised.value}\n")
