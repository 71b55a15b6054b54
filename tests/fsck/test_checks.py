"""Single checks: records, rows, formats, sweeps, runs of Python, the JSON document."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import specflow as sf
from specflow.cli.main import main
from specflow.diagnostics.errors import CheckpointError, Diagnostic
from specflow.fsck.checkpoint_checks import check_checkpoints
from specflow.fsck.document_checks import read_document
from specflow.fsck.event_checks import check_events, masked_crc
from specflow.fsck.export_checks import check_exports
from specflow.fsck.row_checks import check_metrics
from specflow.fsck.run_checks import check_run
from specflow.fsck.verdicts import Remove, Rewrite, SetAside, Verdict
from specflow.runtime.file_digests import folder_digests, signed


def record(data: bytes) -> bytes:
    """One record as tensorboardX writes it."""
    from tensorboardX.record_writer import RecordWriter

    class Kept:
        content = b""

        def write(self, part):
            Kept.content += part

    writer = RecordWriter.__new__(RecordWriter)
    writer._writer = Kept()
    Kept.content = b""
    writer.write(data)
    return Kept.content


@settings(max_examples=50)
@given(st.binary(max_size=40))
def test_checksums_are_those_of_the_writer(data):
    from tensorboardX.record_writer import masked_crc32c

    assert masked_crc(data) == masked_crc32c(data)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.data())
def test_a_torn_event_file_keeps_its_complete_records(tmp_path_factory, parts, draw):
    records = [record(part) for part in parts]
    content = b"".join(records)
    kept = draw.draw(st.integers(0, len(content)))
    file = tmp_path_factory.mktemp("events") / "tfevents"
    file.write_bytes(content[:kept])
    finding = check_events(file)
    ends = np.cumsum([len(each) for each in records]).tolist()
    complete = [end for end in ends if end <= kept]
    if kept and kept in ends:
        assert finding.verdict is Verdict.OK
    else:
        assert finding.verdict is Verdict.INCOMPLETE
        spans = tuple(zip([0, *complete], complete, strict=False))
        kept_records = Rewrite(spans, keeps_copy=False)
        assert finding.repair == (kept_records if spans else Remove())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "line 2 has no step"),
        ('{"step": -1, "split": "train"}', "line 2 has no step"),
        ('{"step": true, "split": "train"}', "line 2 has no step"),
        ('{"step": 4}', "line 2 has no split"),
        ('{"step": 2, "split": "train"}', "line 2 is of step 2, after step 3"),
        ("{", "line 2 is no JSON"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path, line, reason):
    file = tmp_path / "metrics.jsonl"
    first = '{"step": 3, "split": "train", "loss": 0.5}\n'
    file.write_text(f"{first}{line}\n{first.replace('3', '5')}")
    finding = check_metrics(file, in_order=True)
    assert (finding.verdict, finding.reason) == (Verdict.DAMAGED, reason)
    assert isinstance(finding.repair, Rewrite)
    assert len(finding.repair.spans) == 2


def test_rows_beyond_the_newest_checkpoint_are_no_damage(stopped, fsck):
    shutil.rmtree(stopped / "checkpoints" / "6")
    status, lines = fsck(stopped)
    assert status == 0
    (line,) = [line for line in lines if line.startswith("metrics.jsonl")]
    assert line.split(maxsplit=2)[1:] == [
        "ok",
        "rows up to step 6 are after the newest checkpoint, step 3; they are written "
        "again",
    ]


class Verifier:
    """Reasons by name of the checkpoint; `old` has another format."""

    def __init__(self, **reasons):
        self.reasons = reasons

    def verify(self, path):
        reasons = self.reasons.get(f"step_{path.name.replace('-', '_')}", [])
        if reasons == "old":
            raise CheckpointError(Diagnostic(str(path), "has version 2", code="x"))
        return reasons


def test_checkpoints_are_listed_by_step_with_reasons(tmp_path):
    for name in ("100", "20", "3", "superseded/20-1", "notes", "40.partial"):
        (tmp_path / name).mkdir(parents=True)
    verifier = Verifier(step_3="old", step_20=["a changed", "b changed"])
    findings = [*check_checkpoints(tmp_path, verifier)]
    listed = [
        (each.path.name, each.verdict.value, each.reason.partition(";")[0])
        for each in findings
    ]
    assert sorted(listed, key=lambda each: each[0]) == [
        ("100", "ok", ""),
        ("20", "damaged", "a changed (and 1 more)"),
        ("20-1", "ok", ""),
        ("3", "other format", "has version 2"),
        ("40.partial", "incomplete", "is not complete"),
    ]
    assert [each.repair for each in findings if each.path.name == "20"] == [SetAside()]


def test_a_checkpoint_without_its_metadata_is_damaged(run):
    (run / "checkpoints" / "3" / "checkpoint.json").unlink()
    bad = [each for each in check_run(run) if each.verdict is not Verdict.OK]
    assert [(each.path.name, each.verdict) for each in bad] == [("3", Verdict.DAMAGED)]


def test_a_conversion_is_checked_by_its_manifest(tmp_path):
    folder = tmp_path / "onnx" / "1795911138"
    folder.mkdir(parents=True)
    (folder / "serving_default.onnx").write_bytes(b"model")
    manifest = signed({"format": 1, "sha256": folder_digests(folder)})
    (folder / "conversion.json").write_text(json.dumps(manifest))
    assert [each.verdict for each in check_exports(tmp_path)] == [Verdict.OK]
    (folder / "serving_default.onnx").write_bytes(b"Model")
    (finding,) = check_exports(tmp_path)
    assert finding.verdict is Verdict.DAMAGED
    assert finding.reason == "serving_default.onnx changed since it was written"
    (folder / "conversion.json").write_text(
        json.dumps(signed({**manifest, "format": 2}))
    )
    (finding,) = check_exports(tmp_path)
    assert finding.verdict is Verdict.OTHER_FORMAT
    assert finding.reason == "has format 2; expected format 1"


def test_a_config_of_another_version_is_no_damage(stopped, fsck):
    config = (stopped / "config.yaml").read_text() + "later: {key: 1}\n"
    (stopped / "config.yaml").write_text(config)
    manifest = read_document(stopped / "manifest.json").content
    del manifest["files"]
    (stopped / "manifest.json").write_text(json.dumps(signed(manifest)))
    status, lines = fsck(stopped)
    assert status == 0
    assert lines[0].startswith("config.yaml")
    assert "other format  does not compose here: " in lines[0]


def test_a_sweep_is_checked_run_by_run(run, fsck, tmp_path):
    sweep = tmp_path / "sweep"
    for job in ("0", "1"):
        shutil.copytree(run, sweep / job)
    (sweep / "conf").mkdir()
    (sweep / "conf" / "config.yaml").write_text("defaults: []\n")
    (sweep / "trials.json").write_text('{"trials": []}\n')
    (sweep / "trials.csv").write_text("job,step\n0,6\n")
    (sweep / "1" / "result.json").write_text("{}x")
    status, lines = fsck(sweep)
    assert status == 1
    assert [line.split()[0] for line in lines if " damaged " in line] == [
        "1/result.json"
    ]
    paths = {line.split()[0] for line in lines[: lines.index("")]}
    assert {"trials.json", "trials.csv", "0/result.json"} <= paths
    assert fsck(sweep, "--repair")[0] == 0
    assert (sweep / "1" / "damaged" / "result.json").exists()
    assert fsck(sweep)[0] == 0


def test_the_document_for_tools_has_every_object(run, fsck):
    shutil.copytree(run / "checkpoints" / "3", run / "checkpoints" / "9.partial")
    status, lines = fsck(run, "--format", "json")
    document = json.loads("\n".join(lines))
    assert status == document["status"] == 0
    assert document["run"] == str(run)
    assert document["repaired"] is False
    assert document["diagnostics"] == []
    assert [each for each in document["objects"] if each["verdict"] != "ok"] == [
        {
            "path": "checkpoints/9.partial",
            "verdict": "incomplete",
            "reason": "is not complete; only complete checkpoints have a step as name",
            "repair": "remove checkpoints/9.partial",
        }
    ]
    assert document["summary"] == {
        "ok": len(document["objects"]) - 1,
        "incomplete": 1,
        "leftover": 0,
        "other format": 0,
        "damaged": 0,
    }


def test_the_document_of_a_repair_has_its_actions(run, fsck):
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b"torn")
    document = json.loads("\n".join(fsck(run, "--repair", "--format", "json")[1]))
    (repaired,) = [each for each in document["objects"] if each["repair"]]
    assert repaired["repair"] == "drop 4 bytes of metrics.jsonl that cannot be read"
    assert document["repaired"] is True


def test_a_run_is_checked_without_jax(run):
    script = (
        "import sys\n"
        "from specflow.cli.main import main\n"
        f"status = main(['fsck', 'run={run}'])\n"
        "print(status, 'jax' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


def test_a_run_made_in_python_is_checked_too(tmp_path, fsck):
    import optax
    from flax import nnx

    class Line(nnx.Module):
        def __init__(self, rngs):
            self.out = nnx.Linear(2, 1, rngs=rngs)

    def line_fn(model, features, labels, mode):
        values = model.out(features["x"])[:, 0]
        if mode is sf.Mode.PREDICT:
            return sf.TPUEstimatorSpec(mode=mode, predictions={"y": values})
        loss = ((values - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode=mode, loss=loss, train_op=optax.sgd(0.1))

    def rows():
        x = np.arange(16, dtype=np.float32).reshape(8, 2) / 16
        return {"x": x}, x.sum(1)

    estimator = sf.Estimator(
        line_fn, model=lambda rngs: Line(rngs), model_dir=tmp_path, train_batch_size=8
    )
    estimator.train(rows, steps=4)
    estimator.evaluate(rows)
    estimator.close()
    status, lines = fsck(tmp_path)
    assert status == 0, lines
    paths = {line.split()[0] for line in lines[: lines.index("")]}
    assert {"estimator.json", "checkpoints/4", "eval/metrics.jsonl"} <= paths
    names = {path.name for path in tmp_path.iterdir()}
    assert fsck(tmp_path, "--repair")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == names
    record = json.loads((tmp_path / "estimator.json").read_text())
    (tmp_path / "estimator.json").write_text(json.dumps({**record, "version": 2}))
    status, lines = fsck(tmp_path)
    assert status == 0
    assert lines[0].split(maxsplit=1)[0] == "estimator.json"
    assert lines[0].endswith("other format  has version 2; expected version 1")
    (tmp_path / "estimator.json").write_text(json.dumps({**record, "mesh": 2}))
    assert fsck(tmp_path)[0] == 1


def test_help_names_the_command(capsys):
    assert main(["--help"]) == 0
    assert "\n  fsck " in capsys.readouterr().out
