"""Device meshes: sizes of the axes, arrangement of devices, invalid sizes."""

import dataclasses
import os

import jax
import numpy as np
import pytest
from jax.experimental import mesh_utils

from specflow.config.sections.mesh import AxesConfig
from specflow.diagnostics.errors import ConfigError
from specflow.mesh import (
    arrange_devices,
    batch_parts,
    build_mesh,
    check_batch_size,
    is_local,
    pretend_devices,
)


def test_an_axis_of_minus_one_takes_the_remaining_devices():
    sizes = {"data": 2, "fsdp": -1, "tensor": 2}
    mesh = build_mesh(AxesConfig(**sizes))
    assert dict(mesh.shape) == {
        "data": 2, "fsdp": 2, "tensor": 2, "sequence": 1, "expert": 1,
    }  # fmt: skip
    assert [device.id for device in mesh.devices.flat] == list(range(8))


def test_given_sizes_can_use_the_first_of_more_devices():
    mesh = build_mesh(AxesConfig(data=3))
    assert [device.id for device in mesh.devices.flat] == [0, 1, 2]


def test_the_batch_is_sharded_over_data_and_fsdp():
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
def test_sizes_that_do_not_fit_the_devices_are_errors(axes, text):
    with pytest.raises(ConfigError) as error:
        build_mesh(AxesConfig(**axes))
    assert str(error.value) == text


@pytest.mark.parametrize("axes", [{"data": 0}, {"data": -1, "fsdp": -1}, {"data": -2}])
def test_meaningless_sizes_are_config_errors(axes):
    with pytest.raises(ConfigError, match=r"AxesConfig\."):
        AxesConfig(**axes)


def test_a_batch_size_that_does_not_divide_is_an_error_with_the_nearest_sizes():
    mesh = build_mesh(AxesConfig(data=2, fsdp=4))
    check_batch_size(16, mesh, key="loop.batch_size")
    with pytest.raises(ConfigError) as error:
        check_batch_size(20, mesh, key="loop.batch_size")
    assert str(error.value) == (
        "loop.batch_size: got 20, which data 2 x fsdp 4 does not divide. Expected a "
        "multiple of 8, such as 16 or 24."
    )


def test_pretending_devices_is_not_suggested_for_given_devices():
    with pytest.raises(ConfigError) as error:
        build_mesh(AxesConfig(fsdp=32), jax.devices())
    assert str(error.value) == (
        "mesh.axes: fsdp 32 needs 32 devices, and there are 8. Expected sizes that "
        "multiply to at most 8."
    )


def test_pretending_devices_after_jax_is_initialized_is_an_error():
    assert jax.device_count() == 8
    pretend_devices(8)  # As many as there are: nothing to do.
    with pytest.raises(ConfigError) as error:
        pretend_devices(4)
    assert str(error.value) == (
        "mesh.pretend_devices: got 4, but JAX already runs with 8. Set it before the "
        "first use of JAX in the process."
    )


@pytest.mark.parametrize("given", [None, "--xla_cpu_use_fusion_emitters=false"])
def test_pretended_devices_wait_long_for_one_another(monkeypatch, given):
    """XLA reads its flags when JAX is initialized; later they are the user's."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if given is not None:
        monkeypatch.setenv("XLA_FLAGS", given)
    flags = []
    monkeypatch.setattr(
        jax, "local_devices", lambda **_: flags.append(os.environ["XLA_FLAGS"])
    )
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    pretend_devices(4)
    flag = "--xla_cpu_collective_call_terminate_timeout_seconds=600"
    assert flags == [flag if given is None else f"{given} {flag}"]
    assert os.environ.get("XLA_FLAGS") == given


def test_the_users_own_patience_is_kept(monkeypatch):
    flag = "--xla_cpu_collective_call_terminate_timeout_seconds=9"
    monkeypatch.setenv("XLA_FLAGS", flag)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    monkeypatch.setattr(jax, "local_devices", lambda **_: pytest.fail("initialized"))
    pretend_devices(4)
    assert os.environ["XLA_FLAGS"] == flag


# -- slices


@dataclasses.dataclass(frozen=True)
class Device:
    """A device with the attributes that arranging it needs."""

    id: int
    slice_index: int = 0
    platform: str = "cpu"
    device_kind: str = "cpu"


def ids(mesh):
    return [device.id for device in mesh.devices.flat]


def test_devices_without_slices_form_equal_groups():
    mesh = build_mesh(AxesConfig(data=2, fsdp=-1), slices=2)
    assert mesh.shape["fsdp"] == 4
    assert ids(mesh) == list(range(8))
    # Fewer devices than available: the first ones of each slice.
    assert ids(build_mesh(AxesConfig(data=2, fsdp=2), slices=2)) == [0, 1, 4, 5]


def test_slices_are_read_from_the_devices_in_any_order():
    devices = [Device(n, slice_index=n % 2) for n in range(8)]
    for slices in (None, 2):
        mesh = build_mesh(AxesConfig(data=2, tensor=4), devices, slices=slices)
        assert ids(mesh) == [0, 2, 4, 6, 1, 3, 5, 7]
    # An axis other than data that spans the slices is slow, but valid.
    assert ids(build_mesh(AxesConfig(fsdp=8), devices)) == list(range(8))


def test_the_arrangement_over_several_slices_is_that_of_jax():
    """Against jax.experimental.mesh_utils.create_hybrid_device_mesh."""
    devices = [Device(n, slice_index=n // 8) for n in range(16)]
    groups = [devices[:8], devices[8:]]
    expected = mesh_utils.create_hybrid_device_mesh((2, 4, 1), (2, 1, 1), devices)
    assert np.array_equal(arrange_devices((4, 4, 1), groups), expected)


@pytest.mark.parametrize(
    ("slices", "axes", "text"),
    [
        (
            2,
            {"fsdp": 8},
            "mesh.slices: got 2, and mesh.axes.data is 1. Expected a data axis that "
            "spans the slices: a multiple of 2.",
        ),
        (
            3,
            {"data": -1},
            "mesh.slices: got 3, but 8 devices do not divide by it. Expected as many "
            "slices as there are, or null.",
        ),
    ],
)
def test_slices_that_do_not_fit_are_errors(slices, axes, text):
    with pytest.raises(ConfigError) as error:
        build_mesh(AxesConfig(**axes), slices=slices)
    assert str(error.value) == text


def test_another_number_of_slices_than_the_devices_have_is_an_error():
    devices = [Device(n, slice_index=n // 2) for n in range(8)]
    with pytest.raises(ConfigError, match="but the devices are in 4 slices"):
        build_mesh(AxesConfig(data=2, fsdp=4), devices, slices=2)


def test_sizes_that_do_not_follow_the_links_still_form_a_mesh():
    """JAX raises NotImplementedError for them on TPUs; here for a fake TPU."""
    devices = [Device(n, platform="tpu", device_kind="TPU of tests") for n in range(4)]
    devices = [_Tpu(**dataclasses.asdict(device)) for device in devices]
    mesh = build_mesh(AxesConfig(data=2, tensor=2), devices)
    assert ids(mesh) == [0, 1, 2, 3]
    assert not is_local(mesh)
    assert is_local(build_mesh(AxesConfig(data=8)))


@dataclasses.dataclass(frozen=True)
class _Tpu(Device):
    """A TPU on a ring of four, whose sides do not factor into 2 x 2."""

    @property
    def coords(self):
        return (self.id, 0, 0)

    core_on_chip = 0
