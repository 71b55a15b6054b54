"""Mistakes that users of Hydra, OmegaConf, Pydantic and YAML make, in config files.

Collected from issues and questions of these projects, by what was asked there, not by
what specflow checks: habits from Python, shells, JSON, argparse, other trainers' words,
and the rules of defaults lists and packages.
"""

import random
import re
from collections.abc import Iterator

from tests.corpus.edits import OPEN
from tests.corpus.habits_defaults import in_defaults
from tests.corpus.sources import Change, Entry, Mistake, Sources, entries
from tests.corpus.trees import composed_files, shadowed

__all__ = ["WORDS", "in_files"]

WORDS = {
    "n_epochs": "loop",
    "max_epochs": "loop",
    "num_epochs": "loop",
    "learning_rate": "optimizer",
    "lr_scheduler": "optimizer",
    "momentum": "optimizer.schedule",
    "gradient_clip_val": "loop",
    "max_grad_norm": "optimizer",
    "precision": "loop",
    "device": "mesh",
    "devices": "mesh",
    "gpus": "mesh",
    "accelerator": "mesh",
    "strategy": "mesh",
    "num_workers": "data",
    "gradient_accumulation_steps": "loop",
    "accumulate_grad_batches": "loop",
    "patience": "loop",
    "max_steps": "loop",
    "num_train_steps": "loop",
    "save_steps": "output",
    "save_total_limit": "output",
    "logging_steps": "loop",
    "eval_steps": "optimizer",
    "output_dir": "output",
    "run_name": "output",
    "random_seed": "loop",
    "hidden_size": "model",
    "num_layers": "model",
    "dropout_rate": "model",
    "warmup_steps": "loop",
    "batch_size": "data",
    "val_batch_size": "data",
    "val_check_interval": "loop",
    "num_classes": "model",
    "metrics": "spec",
}
"""Keys of other trainers, with the section in which users write them."""
_HEADERS = (
    "",
    "# @package global\n",
    "# @package: _global_\n",
    "# package _global_\n",
    "# @package _globl_\n",
    "# @packages _global_\n",
    "# @package _global\n",
    "# @package __global__\n",
    "@package _global_\n",
    "# @Package _global_\n",
    "# @package _root_\n",
)


def in_files(rng: random.Random, sources: Sources) -> Iterator[Mistake]:
    """Yields mistakes in config files, several of each kind."""
    texts, set_by = dict(sources.texts), shadowed(sources)
    for name in composed_files(sources):
        text = texts[name]
        for entry in entries(name, text):
            wins = len(set_by[entry.dotted]) == 1
            yield from _keys(rng, text, entry)
            if entry.scalar is not None:
                yield from _punctuation(rng, text, entry, wins=wins)
                if wins:
                    yield from _values(text, entry)
                    yield from _interpolations(rng, text, entry, [*set_by])
            elif len(set_by[entry.dotted]) == 1:
                yield from _collections(text, entry)
        yield from _whole_file(rng, name, text)
        yield from in_defaults(name, text)


def _set(kind: str, entry: Entry, text: str, **more: object) -> Mistake:
    change = Change(entry.name, *entry.value, text)
    return Mistake(kind, (change,), (entry.dotted,), **more)  # type: ignore[arg-type]


def _named(kind: str, entry: Entry, key: str, **more: object) -> Mistake:
    change = Change(entry.name, *entry.key, key)
    wrong = ".".join((*entry.path[:-1], key))
    return Mistake(kind, (change,), (wrong, entry.dotted), **more)  # type: ignore[arg-type]


def _keys(rng: random.Random, text: str, entry: Entry) -> Iterator[Mistake]:
    key, depth = entry.last, len(entry.path)
    in_open = depth > 2 and entry.path[0] in ("spec", "mesh", "output")
    if in_open or ".".join(entry.path[:-1]) in OPEN:
        return  # Members of open mappings have any name.
    if "_" in key:
        yield _named("key in kebab-case", entry, key.replace("_", "-"))
        camel = re.sub("_(.)", lambda found: found[1].upper(), key)
        yield _named("key in camelCase", entry, camel)
    yield _named("key in capitals", entry, key.upper())
    yield _named("key capitalized", entry, key.capitalize())
    if key.endswith("s"):
        yield _named("plural and singular", entry, key[:-1])
    else:
        yield _named("plural and singular", entry, f"{key}s")
    if key == "name" and depth > 1:
        for word in ("type", "_target", "target", "class"):
            yield _named("another word for name", entry, word, certain=False)
    if depth == 1 and entry.scalar is None:
        for word in ("config", "params", "args"):
            line = text[entry.line : entry.value[1]]
            deeper = "\n".join(f"  {one}" if one else one for one in line.split("\n"))
            yield Mistake(
                "section in a wrapper",
                (Change(entry.name, entry.line, entry.value[1], f"{word}:\n{deeper}"),),
                (word, f"{word}.{key}", entry.dotted),
            )
        dotted = f"# {key}\n"
        inner = [one for one in entries(entry.name, text) if one.path[:-1] == (key,)]
        if inner and not inner[0].flow and all(one.scalar for one in inner):
            dotted = "\n".join(
                f"{key}.{one.last}: {text[slice(*one.value)]}" for one in inner
            )
            yield Mistake(
                "dotted keys in YAML",
                (Change(entry.name, entry.line, entry.value[1], dotted),),
                tuple(f"{key}.{one.last}" for one in inner),
            )


def _words(rng: random.Random, text: str, entry: Entry) -> Iterator[Mistake]:
    del rng
    if entry.flow or entry.scalar is not None or len(entry.path) != 1:
        return
    inner = [one for one in entries(entry.name, text) if one.path[:-1] == entry.path]
    if not inner or inner[0].flow:
        return
    first = inner[0]
    for word, section in WORDS.items():
        if section == entry.last:
            yield Mistake(
                "word of another trainer",
                (
                    Change(
                        entry.name,
                        first.line,
                        first.line,
                        f"{' ' * first.column}{word}: 1\n",
                    ),
                ),
                (f"{section}.{word}",),
                fix=False,
            )


def _values(text: str, entry: Entry) -> Iterator[Mistake]:
    written = text[slice(*entry.value)]
    if "${" in written:
        return
    kind = entry.kind
    if kind in ("int", "float") and written[0] not in "'\"":
        yield _set("quoted number", entry, f"'{written}'")
        yield _set("trailing letters", entry, f"{written}f")
        # In braces it is none: YAML ignores the last comma.
        yield _set("trailing comma", entry, f"{written},", certain=not entry.flow)
        yield _set("trailing semicolon", entry, f"{written};")
        yield _set("list of one", entry, f"[{written}]")
        yield _set("percent", entry, f"{written}%")
        yield _set("Python's None", entry, "None", fix=False)
    if kind == "int":
        yield _set("float for a whole number", entry, f"{written}.0")
        yield _set("float for a whole number", entry, f"{written}.5", fix=False)
        yield _set("thousands with a comma", entry, f"{written},000", fix=False)
        yield _set("unit after a number", entry, f"{written}k", fix=False)
    if kind == "float" and "." in written:
        yield _set("decimal comma", entry, written.replace(".", ","))
    if kind == "bool":
        yield _set("quoted bool", entry, f"'{written}'")
        yield _set("number for a bool", entry, str(int(written == "true")))
    if kind == "str" and entry.last == "name" and len(entry.path) > 1:
        yield _set("choice in capitals", entry, written.upper())
        yield _set("choice with a dash", entry, f"{written}-v2", certain=False)
        yield _set("choice with .yaml", entry, f"{written}.yaml")
        yield _set("class path for a name", entry, f"torch.optim.{written.title()}")
    if kind == "str" and entry.path[0] == "spec" and "." in written:
        root, _, rest = written.partition(".")
        yield _set("slash for a dot", entry, f"{root}/{rest}")
        yield _set("plural and singular, value", entry, f"{root.rstrip('s')}.{rest}")
        yield _set("capitals, value", entry, f"{root.capitalize()}.{rest}")
        yield _set("half of a path", entry, rest)
    if kind == "str" and entry.path[0] == "spec" and written == "outputs":
        yield _set("word of another trainer, value", entry, "logits", fix=False)
        yield _set("plural and singular, value", entry, "output")


def _interpolations(
    rng: random.Random, text: str, entry: Entry, known: list[str]
) -> Iterator[Mistake]:
    if entry.kind not in ("int", "float") or len(entry.path) < 2:
        return
    for wrong in (
        "${LR}",
        "${env:LR}",
        "${oc.env.LR}",
        "${oc.env:LR_IS_NOT_SET}",
        "${now}",
        "$LR",
        "$(lr)",
        "{{ lr }}",
        "${eval:2*3}",
        "${lr * 2}",
        "${.nothing}",
        "${optimizer.lr",
        "${optimizer.lr}}",
        "%(lr)s",
        "${optimizer:lr}",
    ):
        if rng.random() < 0.15:
            alone = wrong == "{{ lr }}"
            yield _set("interpolation habits", entry, wrong, fix=False, alone=alone)
    other = rng.choice(known)
    if "." in other and other != entry.dotted:
        short = other.rpartition(".")[2]
        if short not in ("name", "seed"):
            yield _set(
                "interpolation from the group", entry, f"${{{short}}}", fix=False
            )


def _collections(text: str, entry: Entry) -> Iterator[Mistake]:
    written = text[slice(*entry.value)]
    if entry.kind == "seq" and written.startswith("[") and entry.size:
        inside = written[1:-1]
        yield _set("quoted list", entry, f'"{written}"' if '"' not in written else "x")
        if not entry.flow and ":" not in written and '"' not in written:
            yield _set("list without brackets", entry, inside)
            yield _set("tuple for a list", entry, f"({inside})")
        if entry.size > 1 and '"' not in written and ":" not in written:
            spaces = f"[{inside.replace(', ', ' ')}]"
            yield _set("list without commas", entry, spaces)
        yield _set(
            "list not closed", entry, written[:-1], alone=True, fix=not entry.flow
        )
    if entry.kind == "map" and written.startswith("{") and entry.size:
        yield _set("mapping not closed", entry, written[:-1], alone=True)
        yield _set("equals sign in braces", entry, written.replace(": ", "=", 1))
        yield _set(
            "no space after a colon, braces", entry, written.replace(": ", ":", 1)
        )
    if entry.kind == "map" and len(entry.path) == 1 and not entry.flow:
        yield Mistake(
            "section left empty",
            (Change(entry.name, entry.key[1], entry.value[1], ":"),),
            (entry.dotted,),
            fix=False,
        )
    if entry.kind == "map" and entry.last == "eval_metrics" and not entry.flow:
        key = ((entry.name, entry.key[0]),)
        yield _set("list for a mapping", entry, "[accuracy]", fix=False, places=key)


def _punctuation(
    rng: random.Random, text: str, entry: Entry, *, wins: bool
) -> Iterator[Mistake]:
    if entry.flow:
        return
    written = text[slice(*entry.value)]
    if "\n" in written or written[:1] in "|>&*":
        return
    begin, end = entry.key[0], entry.value[1]
    key = entry.last

    # Alone in its section, a line that is no pair is the value of the section.
    above = [one for one in entries(entry.name, text) if one.path == entry.path[:-1]]
    places = tuple((one.name, one.key[0]) for one in above if one.size == 1)

    def line(kind: str, new: str, **more: object) -> Mistake:
        change = Change(entry.name, begin, end, new)
        return Mistake(kind, (change,), (entry.dotted, key), places, **more)  # type: ignore[arg-type]

    yield line("no space after a colon", f"{key}:{written}", alone=True)
    yield line("equals sign", f"{key} = {written}", alone=True)
    yield line("equals sign", f"{key}={written}", alone=True)
    yield line("quote not closed", f'{key}: "{written}', alone=True)
    yield line("curly quotes", f"{key}: \u201c{written}\u201d", certain=False)
    yield line("dash before a key", f"- {key}: {written}", alone=True)
    # Text to YAML, and so no mistake where another file wins.
    yield line("Python's comment", f"{key}: {written} // as before", certain=wins)
    yield line("two values in a line", f"{key}: {written}: {written}", alone=True)
    yield line("tab for a space", f"\t{key}: {written}", alone=True)
    yield line("full-width colon", f"{key}\uff1a{written}", alone=True)
    space = rng.choice(" \u00a0")
    yield line(
        "one space too many", f"{space}{key}: {written}", alone=True, certain=False
    )
    if entry.column:
        change = Change(entry.name, entry.line, entry.line + 1, "")
        yield Mistake(
            *("one space too few", (change,), (entry.dotted, key)),
            alone=True,
            certain=False,
        )
        change = Change(entry.name, entry.line, begin, "")
        yield Mistake(
            *("indentation lost", (change,), (entry.dotted, key)),
            alone=True,
            certain=False,
        )
    yield Mistake(
        "merge conflict",
        (
            Change(
                entry.name,
                entry.line,
                entry.line,
                "<<<<<<< HEAD\n",
            ),
        ),
        (),
        alone=True,
    )
    before = f"{' ' * entry.column}{key}: {written}\n"
    yield Mistake(
        "line copied twice",
        (Change(entry.name, entry.line, entry.line, before),),
        (entry.dotted,),
        places=((entry.name, begin),),
        alone=True,
    )


def _whole_file(rng: random.Random, name: str, text: str) -> Iterator[Mistake]:
    experiment = name.startswith("experiment/")
    header = "# @package _global_\n"
    if experiment and text.startswith(header):
        for new in _HEADERS:
            yield Mistake(
                "package header",
                (Change(name, 0, len(header), new),),
                ("experiment", name),
                # To Hydra, what contains _global_ is the root.
                certain="__global__" not in new,
                alone=True,
            )
        for before in ("name: x\n", "---\n# My own.\n"):
            yield Mistake(
                "package header below something",
                (Change(name, 0, 0, before),),
                ("experiment", name, "name"),
                certain=False,
                alone=True,
            )
    if not experiment and "\ndefaults:" not in text:
        group = name.partition("/")[0]
        start = next((one.line for one in entries(name, text)), 0)
        body = text[start:].rstrip("\n")
        deeper = "\n".join(f"  {one}" if one else one for one in body.split("\n"))
        yield Mistake(
            "group's name in its file",
            (Change(name, start, len(text.rstrip("\n")), f"{group}:\n{deeper}"),),
            (f"{group}.{group}",),
            alone=True,
        )
        yield Mistake(
            "package header of another",
            (Change(name, 0, 0, "# @package _global_\n"),),
            (group, name, *(one.last for one in entries(name, text))),
            certain=False,
            alone=True,
        )
    if experiment:
        top = [one for one in entries(name, text) if len(one.path) == 1]
        for entry in rng.sample(top, min(3, len(top))):
            yield from _words(rng, text, entry)
            if entry.scalar is None and not entry.flow:
                end = entry.value[1]
                again = f"\n{entry.last}:\n  {entry.last}s: 1\n"
                yield Mistake(
                    "section written twice",
                    (Change(name, end, end, again.rstrip("\n")),),
                    (entry.last,),
                    places=((name, entry.key[0]),),
                    fix=False,
                    alone=True,
                )
        at = len(text.rstrip("\n"))
        for word in ("lr", "batch_size", "train_steps", "learning_rate", "epochs"):
            yield Mistake(
                "setting at the root",
                (Change(name, at, at, f"\n{word}: 3"),),
                (word,),
                fix=False,
            )
        for words in (
            "trainer: {max_epochs: 3}",
            "callbacks: [early]",
            "logger: wandb",
        ):
            yield Mistake(
                "section of another trainer",
                (Change(name, at, at, f"\n{words}"),),
                (words.partition(":")[0],),
                fix=False,
            )
    yield Mistake(
        *("two documents", (Change(name, len(text), len(text), "---\nseed: 3\n"),), ()),
        fix=False,
        alone=True,
    )
