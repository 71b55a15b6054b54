"""Answers of the child: a report of one experiment, verdicts on several."""

import dataclasses
import hashlib
import re
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import jax

from specflow.compose import compose
from specflow.config.experiment import ExperimentConfig
from specflow.data import Data
from specflow.diagnostics.errors import SpecflowError
from specflow.mesh import pretend_devices
from specflow.mesh.topology import devices_of
from specflow.preflight.child_process import Question
from specflow.preflight.compilers import library_versions
from specflow.preflight.fit_changes import (
    Change,
    changes,
    nearest,
    times_smaller,
    together,
)
from specflow.preflight.hlo import Call, Collective
from specflow.preflight.inspection import MODES, Look, Program, State
from specflow.preflight.memory_limit import FRACTION, MemoryLimit
from specflow.runtime.topologies import Topology, parse

__all__ = ["answer"]

_REPORTED_ARRAYS = 10
_TRIES = 12
"""Maximum number of changes to try."""
_ENOUGH = 3
"""Number of fitting changes after which the search stops."""


def answer(question: Question) -> list[dict[str, Any]]:
    """Returns the report or verdict of each job, as plain values."""
    topology = parse(question.topology)
    if question.compiles:
        devices = devices_of(topology, **library_versions())
    else:
        pretend_devices(topology.size)
        devices = jax.devices()
    look = _Looking(question, topology, devices)
    if len(question.jobs) == 1:
        return [look.report(question.jobs[0])]
    return look.verdicts()


class _Looking:
    """Inspects jobs; data that several share is read once."""

    def __init__(self, question: Question, topology: Topology, devices: Sequence[Any]):
        self.question, self.topology, self.devices = question, topology, devices
        self._data: dict[str, Data] = {}

    def at(self, overrides: Sequence[str]) -> Look:
        config = compose(overrides, config_dirs=self.question.config_dirs).config
        if not self.question.compiles:
            config = _with_any_kernel(config)
        key = repr(config.data)
        look = Look(config, self.topology, self.devices, data=self._data.get(key))
        self._data[key] = look.data
        return look

    def report(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Reports on one experiment."""
        look = self.at(overrides)
        state = look.state
        known = _known(look, state)
        if not self.question.compiles:
            return known
        if not known["fits"]:
            # Known without compiling.
            return known | self._changed(look, state, overrides, ["state"], least=0)
        programs = look.programs(tell=_tell)
        short = [program.mode for program in programs if not program.fits]
        known |= {
            "fits": not short,
            "needs": max(known["needs"], *(program.needs or 0 for program in programs)),
            "largest": _largest(state, programs),
            "programs": {program.mode: _plain(program) for program in programs},
        }
        if short:
            made = max((program.temporaries or 0 for program in programs), default=0)
            room = max(1, look.limit.available - state.bytes())
            known |= self._changed(look, state, overrides, short, least=made / room)
            known["changes"]["share"] = _share(look.limit, known["needs"])
        return known

    def _changed(
        self,
        look: Look,
        state: State,
        overrides: Sequence[str],
        short: Sequence[str],
        *,
        least: float,
    ) -> dict[str, Any]:
        """Finds changes that fit, each compiled, within the time limit.

        Temporaries of the steps must become `least` times smaller.
        """
        config, available = look.config, look.limit.available
        began, tried, almost = time.monotonic(), [], []
        modes = [mode for mode in MODES if mode in short or mode == "train"]
        end = began + self.question.seconds

        def needs(change: Change) -> int | None:
            if len(tried) == _TRIES or time.monotonic() > end:
                return None
            if times_smaller(change, config) < least:
                return None
            if "state" in short and not any(each.startswith("mesh") for each in change):
                return None
            try:
                look = self.at([*overrides, *change])
                if look.state.bytes() > available:
                    return None  # Known without compiling.
                _tell(f"trying {' '.join(change)}")
                tried.append(list(change))
                programs = look.programs(modes, tell=_tell)
            except SpecflowError:
                return None  # An invalid mesh or model.
            size = max(program.needs or 0 for program in programs)
            if all(program.fits for program in programs):
                return size
            if _share(look.limit, size):
                almost.append((change, size))
            return None

        ways = changes(config, state.mesh, short=short)
        each = (nearest(way, needs) for way in ways)
        several = (
            (change, size) for change in together(ways) if (size := needs(change))
        )
        # Combinations, if no single change is enough.
        fitting = [*islice(filter(None, each), _ENOUGH)] or [*islice(several, 1)]
        # A larger share of a GPU's memory on top, if nothing is enough without.
        found = {
            "fitting": [
                {
                    "overrides": list(change),
                    "needs": size,
                    "share": _share(look.limit, size) if size > available else None,
                }
                for change, size in fitting or almost[:1]
            ],
            "tried": tried,
            "seconds": time.monotonic() - began,
            "budget": self.question.seconds,
        }
        return {"changes": found}

    def verdicts(self) -> list[dict[str, Any]]:
        """Returns whether each job can fit: by its state, then by compiling.

        Jobs whose programs differ only in constants are compiled once.
        """
        known: dict[str, dict[str, Any]] = {}
        found = []
        for number, overrides in enumerate(self.question.jobs):
            _tell(f"looking at trial {number}")
            look = self.at(overrides)
            verdict = _known(look, look.state)
            del verdict["largest"]
            if verdict["fits"] and self.question.compiles:
                program = _form(look.lowered)
                if program not in known:
                    (train,) = look.programs(["train"], tell=_tell)
                    known[program] = {"fits": train.fits, "needs": train.needs}
                verdict |= known[program]
            found.append(verdict)
        return found


def _with_any_kernel(config: ExperimentConfig) -> ExperimentConfig:
    """Returns the experiment with an attention kernel that CPUs have too.

    The state, all that is asked without compiling, is the same with any.
    """
    if getattr(config.model, "attention", "auto") == "auto":
        return config
    model = config.model.model_copy(update={"attention": "auto"})
    return config.model_copy(update={"model": model})


def _tell(line: str) -> None:
    import sys

    # Whole: `print` writes the end of a line apart, and threads would share a line.
    sys.stderr.write(f"note: {line}\n")
    sys.stderr.flush()


def _known(look: Look, state: State) -> dict[str, Any]:
    """Returns what is known before compiling."""
    parts = ("parameters", "optimizer", "state")
    topology, limit = look.topology, look.limit
    known = {
        "name": look.config.name,
        "topology": str(topology),
        "chips": topology.size,
        "available": limit.available,
        "fits": state.bytes() <= limit.available,
        "needs": state.bytes(),
        "mesh": {axis: size for axis, size in state.mesh.items() if size > 1},
        "parameters": state.numbers,
        "state": {part: state.bytes(part) for part in parts},
        "largest": _largest(state, []),
    }
    if not topology.chip.is_gpu:
        return known
    memory = {name: getattr(limit, name) for name in ("total", "fraction", "reserved")}
    return known | {
        "unit": topology.chip.unit,
        "links": {"ici": topology.chip.link, "dcn": "network"},
        "memory": memory | {"is_set": limit.is_set},
    }


def _share(limit: MemoryLimit, needs: int) -> str | None:
    """The setting of the environment with which a program fits a GPU, if any does."""
    share = limit.fraction_for(needs)
    return None if share is None else f"{FRACTION}={share:.2f}"


def _largest(state: State, programs: Sequence[Program]) -> list[dict[str, Any]]:
    """Lists the largest arrays on each chip, of the state and of temporaries."""
    found = [
        {
            "part": array.part,
            "name": array.name,
            "array": f"{array.dtype}{list(array.shape)}".replace(" ", ""),
            "bytes": array.bytes,
            "place": "",
        }
        for array in state.arrays
    ]
    for program in programs:
        if program.mode == "train":
            found += [
                {
                    "part": "temporary",
                    "name": array.name,
                    "array": array.shape,
                    "bytes": array.bytes,
                    "place": array.place,
                }
                for array in program.arrays
            ]
    return sorted(found, key=lambda array: -array["bytes"])[:_REPORTED_ARRAYS]


def _plain(program: Program) -> dict[str, Any]:
    plain = dataclasses.asdict(program)
    for left_out in ("arrays", "mode", "calls"):
        del plain[left_out]
    bound = program.bound
    return plain | {
        "temporaries": program.temporaries,
        "unknown": list(program.unknown),
        "collectives": _by_kind(program.collectives),
        **({"calls": _by_target(program.calls)} if program.calls else {}),
        "workspace": program.workspace,
        "bound": None
        if bound is None
        else dataclasses.asdict(bound) | {"by": bound.by},
    }


def _by_kind(collectives: Sequence[Collective]) -> list[dict[str, Any]]:
    """Sums collectives by kind and group."""
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    for collective in collectives:
        key = (collective.kind, collective.group, collective.nodes)
        row = found.setdefault(
            key,
            {
                **dict(zip(("kind", "group", "nodes"), key, strict=True)),
                "times": 0,
                "bytes": 0,
                "sent": 0.0,
                "between": 0.0,
            },
        )
        row["times"] += collective.times
        row["bytes"] += collective.bytes * collective.times
        row["sent"] += collective.sent
        row["between"] += collective.sent_between
    return sorted(found.values(), key=lambda row: -row["bytes"])


def _by_target(calls: Sequence[Call]) -> list[dict[str, Any]]:
    """Sums calls of library kernels by kernel; FLOPs are None if any are unknown."""
    found: dict[str, dict[str, Any]] = {}
    for call in calls:
        row = found.setdefault(
            call.target,
            {"target": call.target, "times": 0, "bytes": 0, "flops": 0, "workspace": 0},
        )
        row["times"] += call.times
        row["bytes"] += call.bytes * call.times
        if call.flops is None:
            row["flops"] = None
        elif row["flops"] is not None:
            row["flops"] += call.flops * call.times
        row["workspace"] = max(row["workspace"], call.workspace)
    return sorted(found.values(), key=lambda row: -row["bytes"])


def _form(lowered: Any) -> str:
    """Hashes the training program without its constants."""
    text = lowered[MODES["train"]].stage.as_text()
    return hashlib.sha256(re.sub(r"dense<[^>]*>", "dense<>", text).encode()).hexdigest()
