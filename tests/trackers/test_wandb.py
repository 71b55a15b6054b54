"""Runs of Weights & Biases offline: the one folder that `wandb sync` would send."""

import json
import struct
import time

import pytest

from specflow.cli.main import main
from tests.trackers.conftest import FAULTS, keys_of

pytest.importorskip("wandb")
pytestmark = pytest.mark.filterwarnings("ignore")

from wandb.proto import wandb_internal_pb2  # noqa: E402

SMALL = ["experiment=digits_mlp", "loop.log_every=2", "loop.eval_every=10"]
BLOCK = 32768
HEADER = 7


def records(folder):
    """Records of the log of a run: LevelDB's format, after a header of 7 bytes.

    None before the service of the run has made the file.
    """
    files = [*folder.glob("*.wandb")]
    if not files:
        return
    (file,) = files
    data, at, whole = file.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + HEADER])
        whole += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in (1, 4):  # Whole, or its last part.
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def history(folder):
    """Rows of a run that has ended: its service writes them later."""
    for _ in range(300):
        if any(
            record.WhichOneof("record_type") == "exit" for record in records(folder)
        ):
            break
        time.sleep(0.1)
    return [
        {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item
        }
        for record in records(folder)
        if record.WhichOneof("record_type") == "history"
    ]


def keys(rows):
    return sorted(
        (split, row["step"]) for row in rows for split in ("train", "eval")
        if f"{split}/loss" in row
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = [*SMALL, "name=digits", "output.dir=run", "output.on_change=accept"]
        words += ["output.tags=[baseline]", "output.notes=why"]
        words += ["output.reporters=[{name: wandb, mode: offline}]"]
        for steps in (20, 30, 40):
            assert main(["train", *words, f"loop.train_steps={steps}"]) == 0
    return folder / "run"


def test_a_resumed_run_is_one_folder_with_each_row_of_the_file_once(run):
    (folder,) = (run / "wandb").glob("offline-run-*")
    assert len([*(run / "wandb/superseded").iterdir()]) == 2
    rows = history(folder)
    assert keys(rows) == keys_of(run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    losses = {(line["split"], line["step"]): line["loss"] for line in lines}
    assert {
        (split, row["step"]): row[f"{split}/loss"]
        for split in ("train", "eval")
        for row in rows
        if f"{split}/loss" in row
    } == losses


def test_every_folder_has_the_id_of_the_run_directory(run):
    run_id = json.loads((run / "trackers.json").read_text())["wandb"]
    folders = [*(run / "wandb").glob("**/offline-run-*")]
    assert len(folders) == 3
    for folder in folders:
        (about,) = (r.run for r in records(folder) if r.HasField("run"))
        assert about.run_id == run_id
        assert (list(about.tags), about.notes) == (["baseline"], "why")
        assert about.project == "digits"


def test_files_are_in_the_folder(run):
    (folder,) = (run / "wandb").glob("offline-run-*")
    names = {path.name for path in (folder / "files").iterdir()}
    assert names >= {"config.yaml", "manifest.json", "result.json"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_costs_a_warning_and_sync_writes_the_run(
    fault, address_of, started, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_BASE_URL", address_of(fault))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    words = [*SMALL, "loop.train_steps=20", "output.dir=run"]
    reporter = "output.reporters=[{name: wandb, mode: online, wait_s: 2.0}]"
    process = started("train", *words, reporter, cwd=tmp_path)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 0, text
    assert "warning[tracker] wandb: has not received all rows" in text
    offline = "output.reporters=[{name: wandb, mode: offline}]"
    process = started("report", "sync", "run=run", offline, cwd=tmp_path)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 0, text
    (folder,) = (tmp_path / "run/wandb").glob("offline-run-*")
    assert keys(history(folder)) == keys_of(tmp_path / "run")


@pytest.mark.slow
def test_twenty_kills_leave_one_folder_with_every_step_once(trained_through_kills):
    run = trained_through_kills(
        "output.reporters=[{name: wandb, mode: offline}]",
        "run/wandb/offline-run-*/*.wandb",
    )
    (folder,) = (run / "wandb").glob("offline-run-*")
    assert keys(history(folder)) == keys_of(run)
    assert [*(run / "wandb/superseded").iterdir()]
