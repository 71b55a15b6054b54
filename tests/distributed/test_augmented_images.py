"""Real processes change and mix images as one process does."""

import json

import numpy as np

from specflow.cli.main import main
from specflow.output import Checkpointer
from tests.data.images.image_files import write_folder
from tests.distributed.launched import train_in_two_processes

STEPS = 5


def words(photos, folder):
    return (
        "experiment=images",
        f"data.root={photos}",
        "data.size=8",
        "data.augment={flip: horizontal, crop: {padding: 1}, scaled_crop: {}}",
        "spec.mix={mixup: 0.8, cutmix: 1.0}",
        "model.widths=[4]",
        "model.hidden=4",
        "model.dropout=0.0",
        "optimizer={name: sgd, lr: 0.1}",
        "loop.epochs=null",
        f"loop.train_steps={STEPS}",
        "loop.batch_size=8",
        "loop.log_every=1",
        f"loop.eval_every={STEPS}",
        "output.reporters=[]",
        f"output.dir={folder}",
    )


def losses(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in lines if row["split"] == "train"]


def test_two_processes_change_and_mix_images_as_one(tmp_path):
    write_folder(tmp_path / "photos", each=12, size=(12, 12))
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["train", *words(tmp_path / "photos", one), "mesh.axes.data=2"]) == 0
    train_in_two_processes(words(tmp_path / "photos", two))
    assert json.loads((two / "manifest.json").read_text())["processes"] == 2
    # Each step's loss is that of its rows; sums over devices are in another order.
    np.testing.assert_allclose(losses(two), losses(one), rtol=2e-5)
    arrays = [Checkpointer(each / "checkpoints").arrays() for each in (one, two)]
    assert arrays[0].keys() == arrays[1].keys()
    for name, expected in arrays[0].items():
        np.testing.assert_allclose(arrays[1][name], expected, rtol=1e-4, atol=1e-6)
