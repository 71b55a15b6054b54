"""RunConfig and TPUConfig: values, defaults and diagnostics."""

import pytest

import specflow as sf
from specflow.diagnostics.errors import ConfigError


@pytest.mark.parametrize(("given", "steps"), [(1, 1), (7, 7), ("7", 7), ("100", 100)])
def test_iterations_per_loop_accepts_a_number_of_steps(given, steps):
    assert sf.TPUConfig(iterations_per_loop=given).loop_steps() == steps


@pytest.mark.parametrize(
    ("given", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("10s", 10)]
)
def test_iterations_per_loop_accepts_a_time(given, seconds):
    config = sf.TPUConfig(iterations_per_loop=given)
    assert config.loop_steps() is None
    assert config.loop_seconds() == seconds


@pytest.mark.parametrize(
    "given",
    [0, -1, 1.0, True, None, "0", "05", "-3", "1.5s", "3 s", "s", "5|", "5d", ""],
)
def test_iterations_per_loop_refuses_other_values(given):
    with pytest.raises(ValueError, match="iterations_per_loop"):
        sf.TPUConfig(iterations_per_loop=given)


def test_checkpoints_are_saved_every_600_seconds_by_default():
    config = sf.RunConfig()
    assert config.saves
    assert config.save_checkpoints_secs == 600.0
    assert config.save_checkpoints_steps is None


def test_setting_one_checkpoint_trigger_unsets_the_other():
    assert sf.RunConfig(save_checkpoints_steps=5).save_checkpoints_secs is None
    assert sf.RunConfig(save_checkpoints_secs=9.0).save_checkpoints_secs == 9.0


def test_two_checkpoint_triggers_are_valid():
    config = sf.RunConfig(save_checkpoints_steps=5, save_checkpoints_secs=9.0)
    assert (config.save_checkpoints_steps, config.save_checkpoints_secs) == (5, 9.0)
    again = config.replace(save_checkpoints_steps=6, save_checkpoints_secs=8.0)
    assert (again.save_checkpoints_steps, again.save_checkpoints_secs) == (6, 8.0)


@pytest.mark.parametrize(
    "given",
    [
        {"save_checkpoints_steps": None, "save_checkpoints_secs": None},
        {"save_checkpoints_steps": None},
    ],
)
def test_a_trigger_of_none_disables_checkpoints(given):
    assert not sf.RunConfig(**given).saves


def test_a_trigger_of_zero_steps_is_valid():
    assert sf.RunConfig(save_checkpoints_steps=0).saves


def test_replacing_one_checkpoint_trigger_unsets_the_other():
    steps = sf.RunConfig(save_checkpoints_steps=5)
    seconds = steps.replace(save_checkpoints_secs=9.0)
    assert (seconds.save_checkpoints_steps, seconds.save_checkpoints_secs) == (
        None,
        9.0,
    )
    again = seconds.replace(save_checkpoints_steps=3)
    assert (again.save_checkpoints_steps, again.save_checkpoints_secs) == (3, None)
    assert steps.save_checkpoints_steps == 5


def test_replace_validates():
    with pytest.raises(ConfigError, match="keep_checkpoint_max"):
        sf.RunConfig().replace(keep_checkpoint_max=-1)


@pytest.mark.parametrize("given", [0, None, 5])
def test_a_retention_of_zero_or_none_keeps_all(given):
    assert sf.RunConfig(keep_checkpoint_max=given)


@pytest.mark.parametrize("given", [0, 0.0, -1.0])
def test_the_period_of_permanent_checkpoints_is_positive(given):
    with pytest.raises(ValueError, match="keep_checkpoint_every_n_hours"):
        sf.RunConfig(keep_checkpoint_every_n_hours=given)


@pytest.mark.parametrize("given", [0, -1])
def test_report_intervals_are_positive_or_none(given):
    assert sf.RunConfig(log_step_count_steps=None).log_step_count_steps is None
    with pytest.raises(ValueError, match="log_step_count_steps"):
        sf.RunConfig(log_step_count_steps=given)


def test_an_empty_model_dir_is_refused():
    with pytest.raises(ValueError, match="model_dir"):
        sf.RunConfig(model_dir="")


def test_an_option_of_tensorflow_that_does_not_exist_has_a_hint():
    with pytest.raises(ConfigError) as error:
        sf.TPUConfig(num_shards=8, per_host_input_for_training=True, iterations=3)
    assert [str(diagnostic) for diagnostic in error.value.diagnostics] == [
        "TPUConfig.num_shards: is gone. "
        "Use the mesh: Estimator(mesh=MeshConfig(axes=..., rules=...)).",
        "TPUConfig.per_host_input_for_training: is gone. "
        "Each process reads its own rows of every batch.",
        "TPUConfig.iterations: no such field. "
        "Did you mean iterations_per_loop? "
        "There is iterations_per_loop, host_call_every_n_steps, micro_steps, "
        "compute_dtype, loss_scale.",
    ]
