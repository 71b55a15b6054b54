"""A model card in Markdown. Source: Mitchell et al., Model Cards for Model Reporting,
2019.
"""

import json
from typing import Any

from specflow.reports.run_contents import RunContents
from specflow.runtime.html.axes import number_label
from specflow.runtime.plain_tree import value_at

__all__ = ["model_card"]


def model_card(run: RunContents) -> str:
    """Returns the card of a run: what it is, its data, results and how to use it.

    What only people know is a line in brackets, to be filled in.

    Args:
        run: the run.
    """
    config, entry = run.run.config, run.entry
    name = entry.name or run.label
    about = run.run.notes or "[What the model is for, and what it is not for.]"
    metrics = [
        (f"`{metric}`", "not finite" if value is None else number_label(value))
        for metric, value in run.scalars.items()
    ]
    loop: Any = config.get("loop") or {}
    training = [
        ("steps", f"{entry.step:,}"),
        ("batch size", str(loop.get("batch_size", ""))),
        ("optimizer", _described(value_at(config, ("optimizer",)))),
        ("loss", _described(value_at(config, ("spec", "loss")))),
        ("devices", run.environment.get("devices", "")),
        ("time", "" if entry.seconds is None else f"{entry.seconds:,.0f} s"),
    ]
    lines = [
        f"# Model card: {name}",
        "",
        about,
        "",
        "## Model",
        "",
        _described(value_at(config, ("model",))),
        "",
        "## Data",
        "",
        _described(value_at(config, ("data",))),
        "",
        "[Where the data comes from, what it leaves out, and whom it concerns.]",
        "",
        "## Training",
        "",
        *_table(("setting", "value"), [row for row in training if row[1]]),
        "",
        "## Evaluation",
        "",
        f"At step {entry.step:,}, on the evaluation data of the config.",
        "",
        *_table(("metric", "value"), metrics),
        "",
        "## Use",
        "",
        *_use(run),
        "",
        "## Limits",
        "",
        "[Groups, inputs and conditions that were not evaluated, and known errors.]",
        "",
        "## Provenance",
        "",
        *_table(("", ""), [*run.environment.items()]),
        "",
        f"Started {entry.started or 'at an unknown time'}; the whole config is in "
        "`config.yaml`.",
    ]
    if entry.tags:
        lines[2:2] = [f"Tags: {', '.join(entry.tags)}", ""]
    return "\n".join(lines) + "\n"


def _use(run: RunContents) -> list[str]:
    exports = run.run.exports
    if not exports:
        return [f"```sh\nspecflow predict run={run.run.directory}\n```"]
    path = next(iter(exports.values()))
    return [
        "```python",
        "import specflow as sf",
        "",
        f'export = sf.load_export("{path}")',
        "```",
    ]


def _described(section: Any) -> str:
    """The name of a section and its settings, in a line."""
    if not isinstance(section, dict):
        return ""
    if section and all(isinstance(value, dict) for value in section.values()):
        # Members by name, such as several losses.
        return "; ".join(f"{key}: {_described(of)}" for key, of in section.items())
    name = section.get("name") or section.get("_target_") or ""
    rest = {k: v for k, v in section.items() if k not in ("name", "_target_")}
    settings = ", ".join(
        f"{key} {_short(value)}" for key, value in rest.items() if value is not None
    )
    return ": ".join(filter(None, (f"`{name}`" if name else "", settings)))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return ["There is none."]
    cells = [head, ("---", "---"), *rows]
    return [f"| {a} | {b.replace('|', chr(92) + '|')} |" for a, b in cells]
