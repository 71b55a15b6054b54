"""Inspects one experiment on one topology: its state, programs and bounds."""

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
from specflow.estimator import Estimator
from specflow.executor import Lowered
from specflow.preflight.hlo import Array, Call, Collective, Hlo
from specflow.preflight.memory import Held, held, needed, shortage
from specflow.preflight.memory_limit import memory_limit
from specflow.preflight.roofline import Roofline, roofline
from specflow.runtime.formatting import human
from specflow.runtime.gpu_targets import figures
from specflow.runtime.topologies import Topology

__all__ = ["MODES", "Look", "Program", "State"]

MODES = {"train": Mode.TRAIN, "eval": Mode.EVAL, "predict": Mode.PREDICT}
_REPORTED_ARRAYS = 10
_QUICK = {"xla_tpu_scoped_vmem_limit_kib": 6144}
"""VMEM budget of one operation, at most half of libtpu's default: its code is shorter
and compiles in about 60 % of the time. HBM usage was the same to the byte for the
decoders (libtpu 0.0.42)."""


@dataclasses.dataclass(frozen=True)
class State:
    """Training state on each chip."""

    arrays: list[Held]
    numbers: int
    """Number of parameters of the model."""
    mesh: dict[str, int]

    def bytes(self, part: str = "") -> int:
        """Returns the bytes on each chip, of one part or of all."""
        return sum(array.bytes for array in self.arrays if part in ("", array.part))


@dataclasses.dataclass(frozen=True)
class Program:
    """Compiler's report on the program of one mode."""

    mode: str
    fits: bool
    needs: int | None
    """Bytes on each chip, with `beside`; None if not reported."""
    available: int
    """Available bytes on each chip."""
    arguments: int
    """Bytes of its arguments on each chip."""
    flops: float
    model_flops: float
    unknown: tuple[str, ...]
    """Operations that are not counted in the FLOPs."""
    seconds: float
    """Compile time in seconds."""
    beside: int = 0
    """Bytes on each chip of the optimizer's state, which the program does not take, and
    which stays there while training evaluates."""
    said: str = ""
    """Compiler's message if the program does not fit."""
    arrays: tuple[Array, ...] = ()
    """Its largest temporary arrays."""
    collectives: tuple[Collective, ...] = ()
    calls: tuple[Call, ...] = ()
    """Its calls of library kernels; only of GPUs."""
    hlo_error: str = ""
    """Error of reading the program's text; empty if there was none."""
    bound: Roofline | None = None

    @property
    def workspace(self) -> int:
        """Upper bound of the bytes of workspace that no program compiled without a
        device has. Calls take turns.
        """
        return max((call.workspace for call in self.calls), default=0)

    @property
    def temporaries(self) -> int | None:
        """Bytes of temporaries on each chip."""
        if self.needs is None:
            return None
        return max(0, self.needs - self.beside - self.arguments)


class Look:
    """One experiment on one topology.

    Args:
        config: the experiment.
        topology: the slices or nodes.
        devices: its devices; any others of the same number if nothing is compiled.
        data: its data, if already built.
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
        self.limit = memory_limit(topology)
        self.data = build_data(config.data) if data is None else data
        self.estimator = Estimator.from_config(
            config,
            data=self.data,
            # Nothing is written, so the directory need not exist.
            model_dir=Path(tempfile.gettempdir()) / f"specflow-preflight-{os.getpid()}",
            devices=devices,
        )
        self.estimator.check_labels()

    @functools.cached_property
    def state(self) -> State:
        """Returns the state on each chip, without lowering or compiling.

        Raises:
            SpecflowError: the model or the mesh is invalid.
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
        """Lowers the programs of all modes."""
        experiment = self.estimator.experiment
        assert experiment is not None
        steps = experiment.loop.steps
        return self.estimator.lower(self.data.train, self.data.eval, max_steps=steps)

    def programs(
        self,
        modes: Iterable[str] = tuple(MODES),
        *,
        tell: Callable[[str], None] = lambda line: None,
    ) -> list[Program]:
        """Compiles the programs in parallel.

        Args:
            modes: modes to compile.
            tell: called with progress lines.
        """
        state, lowered = self.state, self.lowered

        def compiled(mode: str) -> Program:
            tell(f"compiling {mode} for {self.topology}")
            program = self._compiled(mode, lowered[MODES[mode]], state)
            size = "an unknown size" if program.needs is None else human(program.needs)
            verdict = "fits" if program.fits else "does not fit"
            unit = self.topology.chip.unit
            tell(f"{mode} {verdict}: {size} on each {unit}, {program.seconds:.0f} s")
            return program

        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            return list(pool.map(compiled, modes))

    def _compiled(self, mode: str, lowered: Lowered, state: State) -> Program:
        before = time.perf_counter()
        available = self.limit.available
        flops, model = lowered.flops, lowered.model_flops
        common: dict[str, Any] = {
            "mode": mode,
            "beside": state.bytes("optimizer") if mode == "eval" else 0,
            "flops": flops.total,
            "model_flops": model.total,
            "unknown": flops.unknown,
        }
        try:
            compiled = _compile(lowered.stage, is_quick=not self.topology.chip.is_gpu)
        except jax.errors.JaxRuntimeError as error:
            short = shortage(error)
            if short is None:
                raise
            return Program(
                **common,
                fits=False,
                needs=None if short.needs is None else short.needs + common["beside"],
                available=short.available or available,
                arguments=state.bytes(),
                said=short.text,
                seconds=time.perf_counter() - before,
            )
        seconds = time.perf_counter() - before
        memory = compiled.memory_analysis()
        is_gpu = self.topology.chip.is_gpu
        alone = needed(memory) if is_gpu else memory.peak_memory_in_bytes
        needs = alone + common["beside"]
        arguments = memory.argument_size_in_bytes
        hlo_error, collectives, arrays, calls = "", [], [], []
        try:
            text = Hlo(compiled.as_text())
            collectives = text.collectives(self._nodes() if is_gpu else ())
            arrays = text.arrays(_REPORTED_ARRAYS)
            calls = text.calls() if is_gpu else []
        except (
            Exception
        ) as error:  # Some versions of libtpu fail to print their programs.
            hlo_error = str(error).partition("\n")[0]
        # State is read, and written by training; temporaries are both.
        kept = state.bytes() * 2 if mode == "train" else state.bytes("parameters")
        moved = kept + max(2 * max(0, alone - arguments), self._called(calls))
        return Program(
            **common,
            # The compiler for TPUs knows the program alone; that for GPUs makes no
            # error, however large the program is.
            fits=needs <= available if is_gpu or common["beside"] else True,
            needs=needs,
            available=available,
            arguments=arguments,
            seconds=seconds,
            arrays=tuple(arrays),
            collectives=tuple(collectives),
            calls=tuple(calls),
            hlo_error=hlo_error,
            bound=roofline(
                self.topology,
                flops=flops.total,
                model_flops=model.total,
                moved=moved,
                collectives=collectives,
            ),
        )

    def _called(self, calls: Sequence[Call]) -> int:
        """Bytes that library kernels move, except those that a cache could hold."""
        if not calls:
            return 0
        cache, _ = figures(self.topology.chip)["l2_cache_size"]
        return sum(call.bytes * call.times for call in calls if call.bytes > cache)

    def _nodes(self) -> list[int]:
        """Node of each GPU of the mesh, in its order."""
        devices = self.estimator.partitioner.mesh.devices.flat
        return [device.process_index for device in devices]


def _compile(stage: Any, *, is_quick: bool = True) -> Any:
    """Compiles for a TPU with the quick option; if that fails, as a run would."""
    if not is_quick:
        return stage.compile()
    try:
        return stage.compile(compiler_options=_QUICK)
    except jax.errors.JaxRuntimeError as error:
        if shortage(error) is not None:
            raise
        return stage.compile()
