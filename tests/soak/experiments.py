"""The experiments of the soak, and the kind of state that each adds to it."""

import dataclasses
from pathlib import Path

__all__ = ["EXPERIMENTS", "INTERVAL", "STEPS", "Experiment"]

PROJECT = Path(__file__).parent / "project"
STEPS, INTERVAL = 200, 20
"""Length of a run and steps between two checkpoints."""
_LOOP = (
    f"loop.train_steps={STEPS}",
    "loop.eval_every=50",
    "loop.log_every=5",
    "loop.iterations_per_loop=7",
    f"output.checkpoint.every={INTERVAL}",
    "output.reporters=[tensorboard]",
)
_CONSTANT = (
    "optimizer.schedule.name=constant",
    "optimizer.schedule.warmup_steps=0",
)
_MLP = ("experiment=digits_mlp", "model.hidden=[16]", *_CONSTANT)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One training: the state that it adds to the soak, and its overrides."""

    name: str
    state: str
    overrides: tuple[str, ...] = ()
    processes: int = 1
    """More than one: started by `specflow launch`."""
    script: str | None = None
    """A script of the user's project instead of a command."""

    def program(self, directory: Path, *, keep: int = 3) -> list[str]:
        """Arguments of a Python process that trains in a directory."""
        if self.script is not None:
            numbers = map(str, (STEPS, INTERVAL, keep))
            return [str(PROJECT / self.script), str(directory), *numbers]
        overrides = (*_LOOP, *self.overrides, f"output.checkpoint.keep={keep}")
        words = ["train", *overrides, f"output.dir={directory}"]
        return self._launched(words)

    def evaluation(self, directory: Path) -> list[str]:
        """Arguments of a Python process that evaluates the run in a directory."""
        return self._launched(["evaluate", f"run={directory}", "--format=json"])

    def _launched(self, words: list[str]) -> list[str]:
        """Arguments of a command, in as many processes as train."""
        launcher = ["launch", "--processes", str(self.processes), "--"]
        return ["-m", "specflow", *(launcher if self.processes > 1 else []), *words]


_ONE = ("mesh=single",)
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "dropout",
            "random streams, exports",
            (*_MLP, *_ONE, "output.exporters={final:{name:final}}"),
        ),
        Experiment(
            "batch_norm",
            "batch statistics, data and a metric of a user's project",
            ("experiment=soak_batch_norm", *_CONSTANT, *_ONE, "loop.batch_size=16"),
        ),
        Experiment(
            "ema",
            "averages of parameters, best checkpoint, snapshots of parameters",
            (
                "output.checkpoint.params=bfloat16",
                *_MLP,
                *_ONE,
                "optimizer.ema.decay=0.9",
                "output.checkpoint.best={metric:accuracy,order:highest}",
            ),
        ),
        Experiment(
            "generator",
            "the position of a user's generator, in a user's script",
            script="generator.py",
        ),
        Experiment(
            "linen",
            "Linen's collections, a model function of a user's project",
            ("experiment=soak_linen", *_CONSTANT, *_ONE, "loop.batch_size=16"),
        ),
        Experiment(
            "two_processes",
            "shards of two processes",
            (*_MLP, "mesh=fsdp", "mesh.pretend_devices=2", "loop.batch_size=32"),
            processes=2,
        ),
        Experiment(
            "loss_scale",
            "a dynamic loss scale, gradient accumulation, a schedule",
            (
                "experiment=digits_mlp",
                "model.hidden=[16]",
                *_ONE,
                "loop.loss_scale=dynamic",
                "loop.compute_dtype=float16",
                "loop.micro_steps=2",
            ),
        ),
        Experiment(
            "early_stopping",
            "the history of evaluations, best checkpoint and best export",
            (
                *_MLP,
                *_ONE,
                "loop.early_stopping={name:no_decrease,metric:loss,patience_steps:50}",
                "optimizer.lr=1",
                "output.checkpoint.best={metric:loss}",
                "output.exporters={best:{name:best}}",
            ),
        ),
        Experiment(
            "stdlib_lm",
            "a transformer on text, clipped gradients",
            (
                "experiment=stdlib_lm",
                *_CONSTANT,
                *_ONE,
                "model.layers=1",
                "model.width=16",
                "model.heads=2",
                "model.max_length=16",
                "data.length=16",
                "data.max_bytes=400000",
                "data.eval_fraction=0.3",
                "loop.batch_size=8",
                "loop.eval_steps=2",
            ),
        ),
    )
}
