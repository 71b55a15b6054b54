"""Formats the pre-flight report for a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from specflow.runtime.formatting import columns, human

__all__ = ["as_text"]

_UPPER = "an upper bound, not a prediction"


def as_text(report: Mapping[str, Any]) -> str:
    """Formats the child's report of one job."""
    blocks = [_headline(report)]
    programs = report.get("programs", {})
    if programs:
        blocks.append(columns(_program_rows(programs), right=(2, 3, 4, 5, 6, 7, 8)))
    blocks.append("\n".join(_chip_lines(report)))
    blocks.append("the largest arrays on each chip\n" + _arrays(report["largest"]))
    blocks += _training(programs.get("train"))
    if "changes" in report:
        blocks.append("\n".join(_change_lines(report["changes"])))
    return "\n\n".join(blocks)


def _headline(report: Mapping[str, Any]) -> str:
    where = f"{report['name']} on {report['topology']} ({report['chips']:,} chips)"
    programs = report.get("programs")
    available = human(report["available"])
    if not programs:
        needs, least = human(report["needs"]), report["available"] - report["needs"]
        if not report["fits"]:
            return f"{where}: exceeds, by {human(-least)} of state on each chip"
        return (
            f"{where}: the state fits, {needs} of {available} on each chip (not "
            "compiled: what the steps make is not in it)"
        )
    short = [program for program in programs.values() if not program["fits"]]
    if short:
        over = max((program["needs"] or 0) - program["available"] for program in short)
        by = f", by {human(over)} on each chip" if over > 0 else ""
        return f"{where}: exceeds{by}"
    needs = max(program["needs"] for program in programs.values())
    spare = human(report["available"] - needs)
    return (
        f"{where}: fits, {human(needs)} of {available} on each chip, {spare} to spare"
    )


def _program_rows(programs: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield (
        "mode", "fits", "needs", "to spare", "given", "temporary", "FLOPs", "recompute",
        "MFU at most", "bound by",
    )  # fmt: skip
    for mode, program in programs.items():
        needs, bound = program["needs"], program["bound"]
        spare = None if needs is None else program["available"] - needs
        model = program["model_flops"]
        yield (
            mode,
            "yes" if program["fits"] else "no",
            "?" if needs is None else human(needs),
            "?" if spare is None else human(spare),
            human(program["arguments"]),
            "?" if needs is None else human(program["temporaries"]),
            f"{program['flops']:.3g}",
            f"{program['flops'] / model:.2f}" if model else "-",
            "-" if bound is None or mode != "train" else f"{bound['mfu']:.0%}",
            "-" if bound is None else bound["by"],
        )


def _chip_lines(report: Mapping[str, Any]) -> Iterator[str]:
    axes = " x ".join(f"{axis} {size}" for axis, size in report["mesh"].items())
    yield f"mesh         {axes or 'single device'}"
    yield f"parameters   {report['parameters']:,} numbers"
    parts = [f"{part} {human(size)}" for part, size in report["state"].items()]
    train = report.get("programs", {}).get("train")
    if train and train["temporaries"] is not None:
        parts.append(
            f"temporary {human(train['temporaries'])} (activations, gradients, what is "
            "gathered)"
        )
    yield f"on each chip {', '.join(parts)}"


def _arrays(arrays: Iterable[Mapping[str, Any]]) -> str:
    return columns(
        [
            (
                f"  {program['part']}",
                human(program["bytes"]),
                program["array"],
                f"{program['name']} ({program['place']})"
                if program["place"]
                else program["name"],
            )
            for program in arrays
        ],
        right=(1,),
    )


def _training(train: Mapping[str, Any] | None) -> Iterator[str]:
    if train is None:
        return
    if train["unknown"]:
        yield "not in the FLOPs\n" + "\n".join(
            f"  {program}" for program in train["unknown"]
        )
    if train["hlo_error"]:
        yield (
            f"collectives of a training step: unavailable, because {train['hlo_error']}"
        )
    elif train["fits"]:
        rows = [
            (
                f"  {program['kind']}",
                f"{program['times']:,} times",
                human(program["bytes"]),
                f"among {program['group']} chips" if program["group"] else "",
            )
            for program in train["collectives"]
        ] or [("  none", "", "", "")]
        yield "collectives of a training step, on each chip\n" + columns(
            rows, right=(1, 2)
        )
    if bound := train["bound"]:
        times = ", ".join(
            f"{label} {_seconds(bound[name])}"
            for name, label in (
                ("compute", "arithmetic"), ("hbm", "memory"), ("ici", "ICI"),
                ("dcn", "DCN"),
            )
            if bound[name]
        )  # fmt: skip
        yield (
            f"a training step takes at least: {times}\n"
            f"MFU at most {bound['mfu']:.0%} ({_UPPER})"
        )


def _change_lines(found: Mapping[str, Any]) -> Iterator[str]:
    spent = f"{len(found['tried'])} tried in {found['seconds']:.0f} s"
    if not found["fitting"]:
        yield f"no change was found that fits ({spent} of {found['budget']:.0f} s)"
        return
    yield f"changes that fit, each compiled ({spent} of {found['budget']:.0f} s)"
    rows = [
        (f"  {' '.join(program['overrides'])}", f"{human(program['needs'])}")
        for program in found["fitting"]
    ]
    yield columns(rows, right=(1,))


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"
