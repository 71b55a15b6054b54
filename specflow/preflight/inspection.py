"""Looks at one experiment on one slice: its state, its programs, its bounds."""

import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from specflow.config.experiment import ExperimentConfig
from specflow.contract import Mode
from specflow.data import Data, build_data
from specflow.estimator import TPUEstimator
from specflow.executor import Lowered
from specflow.preflight.hlo import Array, Collective, Hlo
from specflow.preflight.memory import Held, held, shortage
from specflow.preflight.roofline import Roofline, roofline
from specflow.runtime.chips import Topology
from specflow.runtime.formatting import human

__all__ = ["MODES", "Look", "Program", "State"]

MODES = {"train": Mode.TRAIN, "eval": Mode.EVAL, "predict": Mode.PREDICT}
_TOLD_ARRAYS = 10
_QUICK = {"xla_tpu_scoped_vmem_limit_kib": 6144}
"""How much of a core's own memory one operation may plan with, half or less of what
libtpu would give it: its code is shorter, and compiles in some 60 % of the time. What
is held in HBM was the same to the byte for the decoders (libtpu 0.0.42)."""


@dataclasses.dataclass(frozen=True)
class State:
    """What every chip holds between two steps."""

    arrays: list[Held]
    numbers: int
    """Parameters of the model."""
    mesh: dict[str, int]

    def bytes(self, part: str = "") -> int:
        """Bytes on each chip, of one part or of all."""
        return sum(one.bytes for one in self.arrays if part in ("", one.part))


@dataclasses.dataclass(frozen=True)
class Program:
    """What the compiler says of the program of one mode."""

    mode: str
    fits: bool
    needs: int | None
    """Bytes on each chip; None: it did not say."""
    available: int
    """Bytes that there are."""
    arguments: int
    """Bytes on each chip of what it is given."""
    flops: float
    model_flops: float
    unknown: tuple[str, ...]
    """What could not be counted in the FLOPs."""
    seconds: float
    """What compiling took."""
    said: str = ""
    """The compiler's own words, where it does not fit."""
    arrays: tuple[Array, ...] = ()
    """The largest that it makes."""
    collectives: tuple[Collective, ...] = ()
    hlo_error: str = ""
    """Why the program's text could not be read, if it could not."""
    bound: Roofline | None = None

    @property
    def temporaries(self) -> int | None:
        """Bytes on each chip of what the program makes and gives up again."""
        return None if self.needs is None else max(0, self.needs - self.arguments)


class Look:
    """One experiment on one slice.

    Args:
        config: the experiment.
        topology: the slice.
        devices: its devices, or as many others where nothing is compiled.
        data: its data, if it is built already.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        topology: Topology,
        devices: Sequence[Any],
        *,
        data: Data | None = None,
    ):
        self.config, self.topology = config, topology
        self.data = build_data(config.data) if data is None else data
        self.estimator = TPUEstimator.from_config(
            config,
            data=self.data,
            # Nothing is written, so there is no need for it to be there.
            model_dir=Path(tempfile.gettempdir()) / f"specflow-preflight-{os.getpid()}",
            devices=devices,
        )
        self.estimator.check_labels()

    @functools.cached_property
    def state(self) -> State:
        """What every chip holds; neither lowered nor compiled.

        Raises:
            SpecflowError: the model or the mesh is not sound.
        """
        for mode in Mode:
            source = self.data.train if mode is Mode.TRAIN else self.data.eval
            self.estimator.abstract_spec(mode, source)
        state = self.estimator.abstract_state(self.data.train)
        return State(
            held(state),
            self.estimator.parameter_count(),
            dict(self.estimator.partitioner.mesh.shape),
        )

    @functools.cached_property
    def lowered(self) -> dict[Mode, Lowered]:
        """The programs, lowered."""
        steps = self.config.loop.train_steps
        return self.estimator.lower(self.data.train, self.data.eval, max_steps=steps)

    def programs(
        self,
        modes: Iterable[str] = tuple(MODES),
        *,
        tell: Callable[[str], None] = lambda line: None,
    ) -> list[Program]:
        """What the compiler says of the programs; they are compiled side by side.

        Args:
            modes: which.
            tell: takes lines about what is done.
        """
        state, lowered = self.state, self.lowered

        def compiled(mode: str) -> Program:
            tell(f"compiling {mode} for {self.topology}")
            one = self._compiled(mode, lowered[MODES[mode]], state)
            size = "an unknown size" if one.needs is None else human(one.needs)
            verdict = "fits" if one.fits else "does not fit"
            tell(f"{mode} {verdict}: {size} on each chip, {one.seconds:.0f} s")
            return one

        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            return list(pool.map(compiled, modes))

    def _compiled(self, mode: str, lowered: Lowered, state: State) -> Program:
        before = time.perf_counter()
        usable = self.topology.chip.usable
        flops, model = lowered.flops, lowered.model_flops
        common: dict[str, Any] = {
            "mode": mode,
            "flops": flops.total,
            "model_flops": model.total,
            "unknown": flops.unknown,
        }
        try:
            compiled = _compile(lowered.stage)
        except jax.errors.JaxRuntimeError as error:
            short = shortage(error)
            if short is None:
                raise
            return Program(
                **common,
                fits=False,
                needs=short.needs,
                available=short.available or usable,
                arguments=state.bytes(),
                said=short.text,
                seconds=time.perf_counter() - before,
            )
        seconds = time.perf_counter() - before
        memory = compiled.memory_analysis()
        needs = memory.peak_memory_in_bytes
        arguments = memory.argument_size_in_bytes
        hlo_error, collectives, arrays = "", [], []
        try:
            text = Hlo(compiled.as_text())
            collectives, arrays = text.collectives(), text.arrays(_TOLD_ARRAYS)
        except Exception as error:  # Versions of libtpu fail to print what they made.
            hlo_error = str(error).partition("\n")[0]
        # The state is read, and written by training; what is made is both.
        kept = state.bytes() * 2 if mode == "train" else state.bytes("parameters")
        moved = kept + 2 * max(0, needs - arguments)
        return Program(
            **common,
            fits=True,
            needs=needs,
            available=usable,
            arguments=arguments,
            seconds=seconds,
            arrays=tuple(arrays),
            collectives=tuple(collectives),
            hlo_error=hlo_error,
            bound=roofline(
                self.topology,
                flops=flops.total,
                model_flops=model.total,
                moved=moved,
                collectives=collectives,
            ),
        )


def _compile(stage: Any) -> Any:
    """Compiles quickly; as a run would, where that does not do."""
    try:
        return stage.compile(compiler_options=_QUICK)
    except jax.errors.JaxRuntimeError as error:
        if shortage(error) is not None:
            raise
        return stage.compile()
