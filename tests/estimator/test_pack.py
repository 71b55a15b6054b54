"""Trainings that share calls: what each leaves, against what it leaves alone.

The process has eight pretended devices, over which the trials of a pack are divided.
"""

import json

import jax
import numpy as np
import pytest

from specflow.compose import compose
from specflow.data import build_data
from specflow.diagnostics.errors import NanLossDuringTrainingError
from specflow.estimator import Estimator, declared_specs
from specflow.executor.device_loops import run_alone
from specflow.executor.pack import Pack
from specflow.executor.packed_program import PackedProgram, PackKind

MLP = (
    "experiment=digits_mlp",
    "model.hidden=[8]",
    "model.dropout=0.1",
    "loop.train_steps=20",
    "loop.eval_every=10",
    "loop.batch_size=16",
    "mesh=single",
)
LINE = (
    "experiment=diabetes",
    "loop.train_steps=20",
    "loop.eval_every=8",
    "mesh=single",
)
RATES = ("optimizer.lr=1e-3", "optimizer.lr=3e-3", "optimizer.lr=1e-2")


class Trials:
    """Trainings of one experiment with different overrides.

    Args:
        folder: parent of their run directories.
        experiment: overrides of all.
        overrides: of each; they may be several, with spaces between.
    """

    def __init__(self, folder, experiment, overrides):
        self.folder, self.experiment, self.overrides = folder, experiment, overrides
        self.data = build_data(compose(experiment).config.data)
        self.earlier = None

    def trial(self, number, name, **options):
        words = [*self.experiment, *self.overrides[number].split()]
        config = compose(words).config
        directory = self.folder / name / str(number)
        self.earlier = Estimator.from_config(
            config, data=self.data, model_dir=directory, earlier=self.earlier
        )
        specs = declared_specs(config, self.data)
        return self.earlier.train_and_evaluate_loops(*specs, **options)

    def alone(self):
        """Metrics of each."""
        count = range(len(self.overrides))
        return [run_alone(self.trial(number, "alone"))[0] for number in count]

    def together(self, pack, name="together", **options):
        """Metrics of each, or the error that ended it; some have options of their own.

        Args:
            pack: runs their device loops.
            name: of the folder.
            options: number, as text after an underscore -> options.
        """
        waiting, ended = {}, {}
        for number in range(len(self.overrides)):
            trial = self.trial(number, name, **options.get(f"_{number}", {}))
            waiting[number] = trial, next(trial)
            pack.lowered(waiting[number][1])
        while waiting:
            results = pack.run({n: loop for n, (_, loop) in waiting.items()})
            for number, result in results.items():
                trial, _ = waiting.pop(number)
                is_error = isinstance(result, Exception)
                try:
                    sent = trial.throw(result) if is_error else trial.send(result)
                    waiting[number] = trial, sent
                except StopIteration as end:
                    ended[number] = end.value[0]
                except Exception as error:
                    ended[number] = error
                if number in ended:
                    pack.release(number)
        return [ended[number] for number in range(len(self.overrides))]

    def files(self, name, number):
        """Bytes of its checkpoints, by step and name."""
        folder = self.folder / name / str(number) / "checkpoints"
        return {
            str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob("*.safetensors"))
        }


@pytest.mark.parametrize(
    ("experiment", "overrides", "verifies"),
    [
        (MLP, RATES, False),  # The batches are the same.
        (MLP, (*RATES[:2], "seed=5"), True),
        (LINE, RATES, False),
    ],
)
def test_a_mapped_trial_leaves_the_bits_of_a_run_alone(
    tmp_path, experiment, overrides, verifies
):
    trials = Trials(tmp_path, experiment, overrides)
    alone, pack = trials.alone(), Pack(PackKind.MAP, verifies=verifies)
    assert trials.together(pack) == alone
    assert (pack.calls > 1, pack.notes) == (True, [])
    for number in range(len(overrides)):
        files = trials.files("alone", number)
        assert files
        assert trials.files("together", number) == files


def test_trials_on_one_device_have_the_bits_of_runs_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda backend: jax.devices()[:1])
    trials = Trials(tmp_path, MLP, (*RATES[:2], "seed=5"))
    alone, pack = trials.alone(), Pack(PackKind.MAP)
    assert trials.together(pack) == alone
    assert pack.calls > 1


def test_vectorized_trials_differ_by_rounding_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda backend: jax.devices()[:1])
    trials = Trials(tmp_path, MLP, (*RATES, "seed=5 optimizer.lr=1e-4"))
    alone, pack = trials.alone(), Pack(PackKind.VMAP)
    together = trials.together(pack)
    assert pack.calls > 1
    losses = [[metrics["loss"] for metrics in each] for each in (alone, together)]
    # 3e-7 of the largest value of an array is the largest that was measured.
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert losses[0] != losses[1]


def test_a_pack_that_is_not_bitwise_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda backend: jax.devices()[:1])
    trials = Trials(tmp_path, MLP, RATES)
    alone, pack = trials.alone(), Pack(PackKind.VMAP, verifies=True)
    assert trials.together(pack) == alone
    assert pack.notes == [
        "trials run one after another: their numbers would differ in a pack"
    ]


def test_a_trial_that_becomes_nan_or_is_stopped_ends_alone(tmp_path):
    trials = Trials(tmp_path, MLP, (RATES[0], "optimizer.lr=1e38", *RATES[1:]))
    alone = [run_alone(trials.trial(number, "alone"))[0] for number in (0, 3)]
    reports = []

    def stopped():  # As by pruning, after the first evaluation.
        return any(split == "eval" for _, split, _ in reports)

    options = {
        "report": lambda *report: reports.append(report),
        "should_stop": stopped,
    }
    first, failed, pruned, last = trials.together(Pack(PackKind.MAP), _2=options)
    assert [first, last] == alone
    assert isinstance(failed, NanLossDuringTrainingError)
    assert pruned["global_step"] == 10
    for number in (0, 3):
        assert trials.files("together", number) == trials.files("alone", number)
    assert not trials.files("together", 1)
    assert {name.partition("/")[0] for name in trials.files("together", 2)} == {"10"}


def test_a_stopped_trial_resumes_alone_and_in_a_pack(tmp_path):
    trials = Trials(tmp_path, MLP, RATES)
    alone = trials.alone()
    stop = {"should_stop": lambda: True}
    stopped = trials.together(Pack(PackKind.MAP), _0=stop, _1=stop, _2=stop)
    assert {metrics["global_step"] for metrics in stopped} == {10}
    assert run_alone(trials.trial(2, "together"))[0] == alone[2]
    trials.overrides = RATES[:2]
    assert trials.together(Pack(PackKind.MAP)) == alone[:2]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("mesh=data",), "each uses 8 devices; mesh=single is one"),
        (("model=cnn",), "their steps are single calls, as with convolutions on CPU"),
    ],
)
def test_what_no_pack_can_run_runs_alone(tmp_path, overrides, reason):
    trials = Trials(tmp_path, (*MLP[:1], *MLP[3:], *overrides), RATES[:2])
    if "model=cnn" in overrides:
        trials.experiment = (*("experiment=digits", *MLP[3:]), "model.widths=[2]")
    alone, pack = trials.alone(), Pack(PackKind.MAP)
    both = zip(trials.together(pack), alone, strict=True)
    assert all(mine["loss"] == theirs["loss"] for mine, theirs in both)
    assert (pack.calls, pack.notes) == (
        0,
        [f"trials run one after another: {reason}"],
    )


def test_a_call_that_fails_is_the_error_of_its_trials(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")

    trials, pack = Trials(tmp_path, MLP, RATES[:2]), Pack(PackKind.MAP)
    monkeypatch.setattr(PackedProgram, "run", fail)
    errors = trials.together(pack)
    assert {type(error) for error in errors} == {RuntimeError}
    assert pack.failed == {0, 1}
    assert json.dumps(pack.notes) == "[]"
