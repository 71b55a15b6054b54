"""The decoder learns real text, and the same on a mesh that cuts all of it."""

import pytest

from specflow import commands
from specflow.compose import compose

STEPS = 100
SMALL = (
    "experiment=lm_10m",
    "model.layers=2",
    "model.width=32",
    "model.heads=4",
    "model.kv_heads=2",
    "model.mlp_width=64",
    "data.length=32",
    "data.max_bytes=400000",
    "optimizer.lr=1e-2",
    "optimizer.schedule.warmup_steps=5",
    "loop.batch_size=16",
    "loop.eval_batch_size=16",
    f"loop.train_steps={STEPS}",
    "loop.eval_every=0",
    "loop.eval_steps=8",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Metrics of the held-out text, by mesh."""
    folder = tmp_path_factory.mktemp("runs")

    def metrics(name, *overrides):
        out = f"output.dir={folder}/{name}"
        return commands.train(compose([*SMALL, *overrides, out]))["eval"]

    return {
        "single": metrics("single", "mesh=single"),
        "cut": metrics(
            "cut", "mesh=fsdp_tensor", "mesh.axes.fsdp=2", "mesh.axes.tensor=2"
        ),
    }


def test_it_learns_real_text_in_a_few_steps(trained):
    # All bytes alike cost ln 256 = 5.55; Python's sources, by how often each byte
    # comes, some 3.3: below that, it has seen that bytes follow one another.
    assert trained["single"]["loss"] < 2.9


def test_it_learns_the_same_on_a_mesh_that_cuts_every_layer(trained):
    # float32: other sums of 200 steps, which Adam takes further apart where gradients
    # are near zero.
    assert trained["cut"]["loss"] == pytest.approx(trained["single"]["loss"], rel=3e-3)
