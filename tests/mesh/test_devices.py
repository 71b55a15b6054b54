"""Meshes: how many devices lie along each axis, and sizes that cannot be."""

import jax
import pytest
from pydantic import ValidationError

from specflow.config.mesh import AxesConfig
from specflow.errors import ConfigError
from specflow.mesh import batch_parts, build_mesh, check_batch_size, pretend_devices


def test_an_axis_of_minus_one_takes_what_is_left():
    sizes = {"data": 2, "fsdp": -1, "tensor": 2}
    mesh = build_mesh(AxesConfig(**sizes))
    assert dict(mesh.shape) == {
        "data": 2, "fsdp": 2, "tensor": 2, "sequence": 1, "expert": 1,
    }  # fmt: skip
    assert [device.id for device in mesh.devices.flat] == list(range(8))


def test_given_sizes_may_use_fewer_devices_than_there_are_the_first_ones():
    mesh = build_mesh(AxesConfig(data=3))
    assert [device.id for device in mesh.devices.flat] == [0, 1, 2]


def test_the_batch_is_cut_over_data_and_fsdp():
    assert batch_parts(build_mesh(AxesConfig(data=2, fsdp=2, tensor=2))) == 4
    assert batch_parts(build_mesh(AxesConfig(tensor=8))) == 1


@pytest.mark.parametrize(
    ("axes", "text"),
    [
        (
            {"data": 3, "fsdp": -1},
            "mesh.axes.fsdp: got -1, but 8 devices do not divide by 3. Expected the "
            "other axes to multiply to a divisor of 8.",
        ),
        (
            {"data": 4, "tensor": 4},
            "mesh.axes: data 4 x tensor 4 needs 16 devices, and there are 8. Expected "
            "sizes that multiply to at most 8. Try mesh.pretend_devices=16 to pretend "
            "them on this CPU.",
        ),
    ],
)
def test_sizes_that_the_devices_cannot_form_are_refused(axes, text):
    with pytest.raises(ConfigError) as error:
        build_mesh(AxesConfig(**axes))
    assert str(error.value) == text


@pytest.mark.parametrize("axes", [{"data": 0}, {"data": -1, "fsdp": -1}, {"data": -2}])
def test_sizes_that_mean_nothing_are_refused_by_the_config(axes):
    with pytest.raises(ValidationError):
        AxesConfig(**axes)


def test_a_batch_that_fits_passes_and_another_names_the_nearest():
    mesh = build_mesh(AxesConfig(data=2, fsdp=4))
    check_batch_size(16, mesh, key="loop.batch_size")
    with pytest.raises(ConfigError) as error:
        check_batch_size(20, mesh, key="loop.batch_size")
    assert str(error.value) == (
        "loop.batch_size: got 20, which data 2 x fsdp 4 does not divide. Expected a "
        "multiple of 8, such as 16 or 24."
    )


def test_pretending_devices_comes_too_late_once_jax_runs():
    assert jax.device_count() == 8
    pretend_devices(8)  # As many as there are: nothing to do.
    with pytest.raises(ConfigError) as error:
        pretend_devices(4)
    assert str(error.value) == (
        "mesh.pretend_devices: got 4, but JAX already runs with 8. Set it before the "
        "first use of JAX in the process."
    )
