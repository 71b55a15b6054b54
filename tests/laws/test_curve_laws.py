"""The same seed gives the same loss curve on every mesh."""

import pytest

from specflow.config.sections.mesh import AxesConfig, MeshConfig, RuleConfig

ALONG = [RuleConfig(path="**", along="fsdp")]
MESHES = {
    "data 8": MeshConfig(axes=AxesConfig(data=8)),
    "fsdp 8": MeshConfig(axes=AxesConfig(fsdp=8), rules=ALONG),
    "data 2 x fsdp 4": MeshConfig(axes=AxesConfig(data=2, fsdp=4), rules=ALONG),
}
STEPS = 20
TOLERANCE = 2e-6
"""Relative. Eight devices add the same float32 numbers in another order: each sum is
then off by a few units of 6e-8, which twenty steps propagate. Measured: 3e-7. A wrong
mean, seed or row would differ by more than 1e-3."""


class Curve:
    """A hook that records the loss of each step."""

    def __init__(self):
        self.losses = {}

    def after_step(self, step, loss):
        self.losses[step] = loss


@pytest.mark.slow
def test_the_same_seed_gives_the_same_curve_on_every_mesh(case, estimator_of):
    def curve_on(mesh):
        curve = Curve()
        estimator = estimator_of(case, steps_a_loop=1, mesh=mesh)
        estimator.train(case.input_fn, steps=STEPS, hooks=[curve])
        estimator.close()
        return curve.losses

    one = curve_on(MeshConfig(axes=AxesConfig()))
    assert list(one) == list(range(1, STEPS + 1))
    assert len(set(one.values())) == STEPS  # It moves, so equality says something.
    for name, mesh in MESHES.items():
        if "x" in name and case.name != "mlp with dropout":
            continue  # Compiling for eight devices is all that these tests wait for.
        assert curve_on(mesh) == pytest.approx(one, rel=TOLERANCE, abs=0), name
