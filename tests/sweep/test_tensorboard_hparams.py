"""What the HParams tab of TensorBoard shows of trials, by TensorBoard's own code."""

import warnings

import pytest

from specflow.cli.main import main
from specflow.output.report.reporters import TensorBoard
from tests.sweep.sweep_samples import launched

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("tensorboard")
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider
    from tensorboard.backend.event_processing import plugin_event_multiplexer as events
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import (
        api_pb2,
        backend_context,
        get_experiment,
        list_session_groups,
    )


def tab_of(logdir):
    """Columns of the tab, and the cells of each row by the name of its run."""
    found, listed = answers_of(logdir)
    hparams = {one.name: one.differs for one in found.hparam_infos}
    rows = {}
    for group in listed.session_groups:
        (session,) = group.sessions
        values = {
            name: getattr(value, value.WhichOneof("kind"))
            for name, value in group.hparams.items()
        }
        metrics = {one.name.tag: one.value for one in group.metric_values}
        rows[session.name] = values, metrics
    return hparams, {one.name.tag for one in found.metric_infos}, rows


def statuses_of(logdir):
    """Name of the run -> the status that the tab has of it."""
    _, listed = answers_of(logdir)
    return {
        session.name: api_pb2.Status.Name(session.status)
        for group in listed.session_groups
        for session in group.sessions
    }


def answers_of(logdir):
    """What TensorBoard answers to its page."""
    multiplexer = events.EventMultiplexer(tensor_size_guidance={"scalars": 1000})
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(logdir))
    tab = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = context.RequestContext()
    asked = api_pb2.GetExperimentRequest()
    found = get_experiment.Handler(request, tab, "", asked).run()
    listed = list_session_groups.Handler(
        request,
        tab,
        "",
        api_pb2.ListSessionGroupsRequest(
            start_index=0, slice_size=100, allowed_statuses=[0, 1, 2, 3]
        ),
    ).run()
    return found, listed


def test_a_run_that_has_succeeded_says_so_and_one_that_may_be_resumed_does_not(
    tmp_path,
):
    config = {"seed": 1}
    for status in ("finished", "stopped", "failed"):
        writer = TensorBoard(tmp_path / status, config=config)
        writer.write(1, "eval", {"loss": 3.0})
        writer.close()
        writer.finish(status)
    # The one that was stopped resumes.
    writer = TensorBoard(tmp_path / "stopped", config=config, resumed_at=1)
    writer.write(2, "eval", {"loss": 2.0})
    writer.close()
    writer.finish("finished")
    assert statuses_of(tmp_path) == {
        "finished": "STATUS_SUCCESS",
        "stopped": "STATUS_SUCCESS",
        "failed": "STATUS_UNKNOWN",
    }
    assert tab_of(tmp_path)[2]["stopped"][1] == {"eval/loss": 2.0}


def test_all_settings_are_columns_and_all_metrics_have_cells(tmp_path):
    """Of a list of columns in the files TensorBoard would take that of one trial."""
    configs = [
        {"seed": 1, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}},
        {"seed": 1, "optimizer": {"name": "adamw", "lr": 0.2, "b1": 0.8}},
    ]
    for number, config in enumerate(configs):
        writer = TensorBoard(tmp_path / str(number), config=config)
        writer.write(1, "train", {"loss": 3.0})
        writer.write(2, "eval", {"loss": 2.0 + number, "accuracy": 0.5})
        writer.close()
    hparams, metrics, rows = tab_of(tmp_path)
    assert hparams == {
        "seed": False,
        "optimizer.name": True,
        "optimizer.lr": True,
        "optimizer.momentum": False,
        "optimizer.b1": False,
    }
    assert metrics == {"train/loss", "eval/loss", "eval/accuracy"}
    for number, config in enumerate(configs):
        values, cells = rows[str(number)]
        assert values["optimizer.lr"] == config["optimizer"]["lr"]
        assert cells == {
            "train/loss": 3.0,
            "eval/loss": 2.0 + number,
            "eval/accuracy": 0.5,
        }


def test_trials_without_such_files_get_them_of_their_metrics(tmp_path, capsys):
    folder, logdir = launched(tmp_path / "grid"), tmp_path / "tensorboard"
    words = ["sweep", "report", str(folder), "--tensorboard", str(logdir)]
    assert main(words) == 0
    assert capsys.readouterr().err == f"5 runs: tensorboard --logdir {logdir}\n"
    hparams, metrics, rows = tab_of(logdir)
    assert hparams == {"optimizer.lr": True, "status": True}
    assert metrics == {"eval/loss", "eval/accuracy"}
    assert rows["1"][0] == {"optimizer.lr": 0.01, "status": "complete"}
    # The last row of its metrics.
    assert rows["1"][1]["eval/loss"] == 0.25
    assert rows["2"][0]["status"] == "pruned"
    assert rows["3"][0]["optimizer.lr"] == 1e30
    ended = statuses_of(logdir)
    assert {ended[number] for number in "012"} == {"STATUS_SUCCESS"}
    assert ended["3"] == "STATUS_FAILURE"
    assert main(words) == 2
    assert f"--tensorboard: '{logdir}' is not empty" in capsys.readouterr().err
