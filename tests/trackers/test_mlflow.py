"""Runs in MLflow with SQLite, read back by its own client."""

import http.server
import json
import math
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml

from specflow import TrackedRun, Tracker
from specflow.cli.main import main
from specflow.output import read_rows
from specflow.output.tracking.tracker_run_ids import set_run_id
from tests.trackers.conftest import FAULTS, keys_of

mlflow = pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore")

from mlflow.tracking import MlflowClient  # noqa: E402

from specflow_mlflow._core.client import MlflowTracker  # noqa: E402

SMALL = ["experiment=digits_mlp", "loop.log_every=2", "loop.eval_every=10"]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """A database with MLflow's tables, which take seconds to create."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory, empty_database):
    """Working directory with a database of its own."""
    path = tmp_path_factory.mktemp("runs")
    shutil.copy(empty_database, path / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        yield path


@pytest.fixture(scope="module")
def client(folder):
    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def reporter(folder, **settings):
    fields = {"name": "mlflow", "uri": f"sqlite:///{folder}/mlflow.db", **settings}
    written = ", ".join(f"{key}: '{value}'" for key, value in fields.items())
    return f"output.reporters=[plots, {{{written}}}]"


@pytest.fixture(scope="module")
def trained(folder):
    """A run of 20 steps that is resumed to 30; its directory."""
    words = [
        *SMALL, reporter(folder), "output.dir=first", "output.tags=[baseline, paper]",
        "output.notes=What it is about", "output.on_change=accept",
        "output.exporters={latest: {name: latest}}",
        "+spec.eval_metrics.confusion={name: confusion_matrix, classes: 10, "
        "predictions: predictions.class}",
    ]  # fmt: skip
    for steps in (20, 30):
        assert main(["train", *words, f"loop.train_steps={steps}"]) == 0
    return folder / "first"


def only_run(client, experiment="digits_mlp"):
    found = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([found.experiment_id])
    return run


def steps(client, run, key):
    return [metric.step for metric in client.get_metric_history(run.info.run_id, key)]


def test_a_resumed_run_is_one_run_with_each_row_of_the_file_once(client, trained):
    run = only_run(client)
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    rows = read_rows(trained / "metrics.jsonl")
    for row in rows:
        for name in ("loss", "learning_rate", "gradient_norm", "accuracy"):
            if name in row:
                history = client.get_metric_history(
                    run.info.run_id, f"{row['split']}/{name}"
                )
                assert [m.value for m in history if m.step == row["step"]] == [
                    row[name]
                ]
    trained_steps = [row["step"] for row in rows if row["split"] == "train"]
    assert steps(client, run, "train/loss") == trained_steps == [*range(2, 31, 2)]
    assert steps(client, run, "eval/loss") == [10, 20, 30]


def test_config_tags_notes_and_commit_are_there(client, trained):
    run = only_run(client)
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert run.data.params["optimizer.lr"] == str(config["optimizer"]["lr"])
    assert run.data.params["loop.train_steps"] == "20"
    tags = run.data.tags
    # A parameter of MLflow is final; what a resumed run changes is a tag.
    assert tags["resumed.loop.train_steps"] == "30 from step 20"
    assert (tags["tag.baseline"], tags["tag.paper"]) == ("true", "true")
    assert tags["mlflow.note.content"] == "What it is about"
    manifest = json.loads((trained / "manifest.json").read_text())
    commits = [commit["commit"] for commit in manifest.get("git", {}).values()]
    assert tags.get("mlflow.source.git.commit") in (commits or [None])


def test_files_tables_and_the_exported_model_are_artifacts(client, trained, tmp_path):
    run_id = only_run(client).info.run_id
    names = {item.path for item in client.list_artifacts(run_id)}
    assert names >= {"config.yaml", "curves.png", "result.json", "tables", "export"}
    path = client.download_artifacts(run_id, "config.yaml", str(tmp_path))
    assert open(path).read() == (trained / "config.yaml").read_text()
    table = json.load(
        open(client.download_artifacts(run_id, "tables/confusion.json", str(tmp_path)))
    )
    result = json.loads((trained / "result.json").read_text())
    assert table["confusion"] == result["eval"]["confusion"]
    assert np.sum(table["confusion"]) == 359
    assert table["classes"] == [*map(str, range(10))]
    exported = trained / result["exports"]["latest"]["path"]
    copy = client.download_artifacts(
        run_id, f"export/latest/{exported.name}", str(tmp_path)
    )
    files = sorted(path.name for path in exported.rglob("*"))
    assert sorted(path.name for path in Path(copy).rglob("*")) == files


def test_goodput_is_a_metric(client, trained):
    metrics = only_run(client).data.metrics
    shares = json.loads((trained / "result.json").read_text())["efficiency"]["shares"]
    assert metrics["goodput/step"] == shares["step"]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.yaml").write_text("name: single\nseed: 1\n")
    return TrackedRun.of(tmp_path)


def of_mlflow(folder, run):
    uri = f"sqlite:///{folder}/mlflow.db"
    return Tracker(MlflowTracker(uri, run.name, with_models=False), run)


NAMES = [
    "top@5", "a(b)", "a[0]", "a=b", "a,b", "100%", "a|b", "/lead", "a//b", "a/../b",
    "a/./b", "end/", "é", "a b", "x" * 300, "'", '"', "a\n", "..", ".", "a/..", "-",
    "\t",
]  # fmt: skip


def test_any_name_of_a_metric_arrives_and_none_drops_another(folder, client, run):
    tracker = of_mlflow(folder, run)
    tracker.write(1, "eval", {name: float(at) for at, name in enumerate(NAMES)})
    tracker.finish("finished")
    stored = only_run(client, "single").data.metrics
    assert sorted(stored.values()) == [float(at) for at in range(len(NAMES))]


def test_nan_is_stored_and_an_infinity_is_named(folder, client, run):
    run = TrackedRun(run.directory, "infinite", run.config)
    tracker = of_mlflow(folder, run)
    for step, value in ((1, 0.5), (2, math.nan), (3, math.inf), (4, -math.inf)):
        tracker.write(step, "train", {"loss": value})
    tracker.finish("failed")
    found = only_run(client, "infinite")
    assert found.info.status == "FAILED"
    history = client.get_metric_history(found.info.run_id, "train/loss")
    values = [str(m.value) for m in sorted(history, key=lambda m: m.step)]
    assert values == ["0.5", "nan", "nan", "nan"]
    assert found.data.tags["infinite.train/loss"] == "-inf at step 4"


def test_a_run_that_was_deleted_there_is_sent_anew(folder, client, run):
    run = TrackedRun(run.directory, "deleted", run.config)
    (run.directory / "metrics.jsonl").write_text(
        '{"step": 1, "split": "train", "loss": 0.5}\n'
    )
    assert of_mlflow(folder, run).sync() == 1
    client.delete_run(only_run(client, "deleted").info.run_id)
    assert of_mlflow(folder, run).sync() == 1
    assert steps(client, only_run(client, "deleted"), "train/loss") == [1]


def test_a_kill_between_creation_and_its_record_creates_no_second_run(
    folder, client, run
):
    ids = set()
    for _ in range(2):
        of_process = MlflowTracker(
            f"sqlite:///{folder}/mlflow.db", "killed early", with_models=False
        )
        ids.add(of_process.start(run, None))
        of_process.close()
    assert {only_run(client, "killed early").info.run_id} == ids


def test_a_kill_between_creation_of_a_sweep_and_its_record_creates_no_second_parent(
    folder, client, tmp_path, monkeypatch
):
    trial = tmp_path / "0"
    trial.mkdir()
    (trial / "config.yaml").write_text("name: killed sweep\n")
    (tmp_path / "trials.jsonl").write_text('{"number": 0, "directory": "0"}\n')

    def start():
        tracker = MlflowTracker(
            f"sqlite:///{folder}/mlflow.db", "killed sweep", with_models=False
        )
        tracker.start(TrackedRun.of(trial), None)

    def kill(folder, tracker, value):
        if folder == tmp_path and tracker == "mlflow":
            raise KeyboardInterrupt
        set_run_id(folder, tracker, value)

    with monkeypatch.context() as patch:
        patch.setattr("specflow.output.tracking.tracker_run_ids.set_run_id", kill)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                start()
    start()
    experiment = client.get_experiment_by_name("killed sweep").experiment_id
    runs = {r.info.run_name: r for r in client.search_runs([experiment])}
    assert len(client.search_runs([experiment])) == len(runs) == 2
    parent = runs[tmp_path.name].info.run_id
    assert runs[f"{tmp_path.name}/0"].data.tags["mlflow.parentRunId"] == parent


def test_trials_of_a_sweep_are_children_of_one_run(folder, client):
    words = [*SMALL, reporter(folder, experiment="grid"), "loop.train_steps=10"]
    words += ["output.dir=grid", "optimizer.lr=1e-3,1e-4", "hydra.launcher.workers=2"]
    assert main(["train", "-m", *words]) == 0
    experiment = client.get_experiment_by_name("grid").experiment_id
    runs = {r.info.run_name: r for r in client.search_runs([experiment])}
    assert set(runs) == {"grid", "grid/0", "grid/1"}
    parent = runs["grid"].info.run_id
    for name, rate in (("grid/0", "0.001"), ("grid/1", "0.0001")):
        child = runs[name]
        assert child.data.tags["mlflow.parentRunId"] == parent
        assert child.data.params["optimizer.lr"] == rate
        assert steps(client, child, "train/loss") == [2, 4, 6, 8, 10]
        assert child.info.status == "FINISHED"
    assert runs["grid"].info.status == "FINISHED"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_costs_a_warning_and_sync_sends_the_run(
    fault, address_of, folder, client, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address_of(fault))
    name = fault.replace(" ", "-")
    words = [*SMALL, "loop.train_steps=20", f"name={name}", "output.dir=run"]
    assert (
        main(["train", *words, "output.reporters=[{name: mlflow, wait_s: 2.0}]"]) == 0
    )
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["step"] == 20
    assert main(["report", "sync", "run=run", reporter(folder)]) == 0
    assert capfd.readouterr().out.endswith("mlflow: 12 rows sent\n")
    found = only_run(client, name)
    assert steps(client, found, "train/loss") == [*range(2, 21, 2)]
    assert found.info.status == "FINISHED"


class _Server(http.server.BaseHTTPRequestHandler):
    """Has one run, and accepts its end."""

    def do_GET(self):
        info = {"run_id": "r", "experiment_id": "0", "run_name": "ended"}
        answer = {"run": {"info": info, "data": {}}, "run_info": info}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    do_POST = do_GET

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("prints", ["false", None])
def test_a_server_s_address_is_not_among_the_output_of_a_command(
    prints, monkeypatch, capfd
):
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", prints or "")
    if prints is None:
        monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        tracker = MlflowTracker(address, "sample", with_models=False)
        tracker._connect()
        tracker._client.set_terminated("r", "FINISHED")
        server.shutdown()
    assert ("View run ended" in capfd.readouterr().out) == (prints == "false")


@pytest.mark.slow
def test_twenty_kills_leave_one_run_with_every_step_once(
    folder, client, trained_through_kills
):
    trained = trained_through_kills(reporter(folder), f"{folder}/mlflow.db")
    run = only_run(client, "killed")
    assert keys_of(trained) == sorted(
        (split, step)
        for split in ("train", "eval")
        for step in steps(client, run, f"{split}/loss")
    )
    assert run.info.status == "FINISHED"
