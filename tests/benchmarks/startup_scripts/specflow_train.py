"""`specflow train`, which tells when its first step is done.

Usage: python specflow_train.py [override ...]
"""

import sys

from common import told

import specflow.output
from specflow.cli.main import main


class _Told(specflow.output.Progress):
    def update(self, step: int, loss: float) -> None:
        if not getattr(self, "told", False):
            self.told = told()
        super().update(step, loss)

    def close(self) -> None:
        super().close()
        print(f"first step {self.told}")


specflow.output.Progress = _Told
once = ["loop.train_steps=1", "optimizer.schedule.warmup_steps=0"]
sys.exit(main(["train", "experiment=digits_mlp", *once, *sys.argv[1:]]))
