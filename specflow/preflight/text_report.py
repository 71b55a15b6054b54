"""Formats the pre-flight report for a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from specflow.preflight.memory_limit import FRACTION
from specflow.preflight.verdict import in_words
from specflow.runtime.formatting import columns, human

__all__ = ["as_text"]

KERNELS = {
    "__cudnn$fmhaSoftmax": "cuDNN attention",
    "__cudnn$fmhaSoftmaxBackward": "cuDNN attention, backward",
    "__cudnn$convForward": "cuDNN convolution",
    "__cudnn$convBackwardInput": "cuDNN convolution, gradient of inputs",
    "__cudnn$convBackwardFilter": "cuDNN convolution, gradient of filters",
    "__cublas$gemm": "cuBLAS matrix product",
    "__cublas$lt$matmul": "cuBLASLt matrix product",
}
"""Kernel in XLA -> its name in the report."""
_UPPER = "an upper bound, not a prediction"


def as_text(report: Mapping[str, Any]) -> str:
    """Formats the child's report of one job."""
    blocks = [_headline(report)]
    programs = report.get("programs", {})
    unit = report.get("unit", "chip")
    if programs:
        rows = _program_rows(programs, report.get("links", {}))
        blocks.append(columns(rows, right=(2, 3, 4, 5, 6, 7, 8)))
    blocks.append("\n".join(_chip_lines(report)))
    blocks.append(f"the largest arrays on each {unit}\n" + _arrays(report["largest"]))
    blocks += _training(programs.get("train"), unit, report.get("links", {}))
    if unit == "GPU" and programs:
        blocks.append("\n".join(_unknown_lines(programs)))
    if "changes" in report:
        blocks.append("\n".join(_change_lines(report["changes"])))
    return "\n\n".join(blocks)


def _headline(report: Mapping[str, Any]) -> str:
    unit = report.get("unit", "chip")
    units = unit if unit == "GPU" and report["chips"] == 1 else f"{unit}s"
    where = f"{report['name']} on {report['topology']} ({report['chips']:,} {units})"
    programs = report.get("programs")
    available = human(report["available"])
    if not programs:
        needs, least = human(report["needs"]), report["available"] - report["needs"]
        if not report["fits"]:
            return f"{where}: exceeds, by {human(-least)} of state on each {unit}"
        return (
            f"{where}: the state fits, {needs} of {available} on each {unit} (not "
            "compiled: what the steps make is not in it)"
        )
    short = [program for program in programs.values() if not program["fits"]]
    if short:
        over = max((program["needs"] or 0) - program["available"] for program in short)
        by = f", by {human(over)} on each {unit}" if over > 0 else ""
        return f"{where}: exceeds{by}"
    needs = max(program["needs"] for program in programs.values())
    spare = report["available"] - needs
    workspace = max(program.get("workspace", 0) for program in programs.values())
    fits = "fits"
    if workspace > spare:
        fits += f" if the workspace of cuDNN stays below {human(spare)}"
    return (
        f"{where}: {fits}, {human(needs)} of {available} on each {unit}, "
        f"{human(spare)} to spare"
    )


def _program_rows(
    programs: Mapping[str, Any], links: Mapping[str, str]
) -> Iterator[Sequence[str]]:
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
            "-" if bound is None else _bound_by(bound["by"], links),
        )


def _bound_by(resource: str, links: Mapping[str, str]) -> str:
    """Names the resource; those of a GPU by their own names."""
    return {"hbm": "memory", **links}.get(resource, resource) if links else resource


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
    yield f"on each {report.get('unit', 'chip'):<4} {', '.join(parts)}"
    evaluation = report.get("programs", {}).get("eval")
    if evaluation and evaluation.get("beside"):
        size = human(evaluation["beside"])
        yield f"in eval      optimizer {size} too, which stays while training evaluates"
    if "memory" in report:
        yield f"memory       {_memory(report['memory'])}"


def _memory(memory: Mapping[str, Any]) -> str:
    """Memory of a GPU, the share that JAX takes, and the rest for others."""
    total, reserved = human(memory["total"]), human(memory["reserved"])
    others = f"CUDA's context and libraries up to {reserved} (assumed)"
    if memory["fraction"] is None:
        return f"{total} on each GPU: JAX takes what {others} leave"
    how = "is set" if memory["is_set"] else "is not set"
    return (
        f"{total} on each GPU: JAX takes {memory['fraction']:.0%} ({FRACTION} {how}), "
        f"{others} outside of it"
    )


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


def _training(
    train: Mapping[str, Any] | None, unit: str, links: Mapping[str, str]
) -> Iterator[str]:
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
                _among(program, unit),
                _over(program, links),
            )
            for program in train["collectives"]
        ] or [("  none", "", "", "", "")]
        yield f"collectives of a training step, on each {unit}\n" + columns(
            rows, right=(1, 2)
        )
    if calls := train.get("calls"):
        yield "library kernels of a training step, on each GPU\n" + columns(
            [
                (
                    f"  {KERNELS.get(call['target'], call['target'])}",
                    f"{call['times']:,} times",
                    human(call["bytes"]),
                    "FLOPs unknown"
                    if call["flops"] is None
                    else f"{call['flops']:.3g} FLOPs",
                )
                for call in calls
            ],
            right=(1, 2, 3),
        )
    if bound := train["bound"]:
        times = ", ".join(
            f"{label} {_seconds(bound[name])}"
            for name, label in (
                ("compute", "arithmetic"), ("hbm", "memory"),
                ("ici", links.get("ici", "ICI")), ("dcn", links.get("dcn", "DCN")),
            )
            if bound[name]
        )  # fmt: skip
        yield (
            f"a training step takes at least: {times}\n"
            f"MFU at most {bound['mfu']:.0%} ({_UPPER})"
        )


def _among(collective: Mapping[str, Any], unit: str) -> str:
    if not collective["group"]:
        return ""
    nodes = collective.get("nodes", 1)
    return f"among {collective['group']} {unit}s" + (
        f" of {nodes} nodes" if nodes > 1 else ""
    )


def _over(collective: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """The bytes that leave a GPU at the least, by the links that they take."""
    if not links:
        return ""
    between = collective["between"]
    sent = [(links["ici"], collective["sent"] - between), (links["dcn"], between)]
    return ", ".join(f"{human(size)} over {link}" for link, size in sent if size >= 1)


def _unknown_lines(programs: Mapping[str, Any]) -> Iterator[str]:
    """Bounds of what is chosen with a GPU at hand."""
    yield "not known without a GPU"
    workspaces = [
        f"at most {human(program['workspace'])} in {mode}"
        for mode, program in programs.items()
        if program.get("workspace")
    ]
    if workspaces:
        yield f"  workspace of cuDNN, not in the above: {', '.join(workspaces)}"
    yield (
        "  autotuning: other kernels for matrix products, with at most 32.0 MiB of "
        "workspace of cuBLAS"
    )
    yield "  memory of the driver, such as for CUDA graphs: outside of JAX's share"


def _change_lines(found: Mapping[str, Any]) -> Iterator[str]:
    if found.get("share"):
        yield f"fits with {found['share']} in the environment\n"
    spent = f"{len(found['tried'])} tried in {found['seconds']:.0f} s"
    if not found["fitting"]:
        yield f"no change was found that fits ({spent} of {found['budget']:.0f} s)"
        return
    yield f"changes that fit, each compiled ({spent} of {found['budget']:.0f} s)"
    rows = [
        (f"  {in_words(change)}", human(change["needs"])) for change in found["fitting"]
    ]
    yield columns(rows, right=(1,))


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"
