"""The corpus: every shipped experiment with one fault, of every kind, however written.

A fault stands on the command line, in the user's own copy of an experiment, or in the
user's own copy of a choice such as `model/mlp.yaml`.
"""

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from specflow.compose import compose
from tests.corpus.edits import CONF, NAMES, edits, misspell
from tests.corpus.planted import Edit, Planted, at, plant

__all__ = ["CONF", "OWN", "build", "experiments", "merged", "together"]

OWN = "mine"
"""The user's own folder of configs."""
MINE = f"{OWN}/experiment/mine.yaml"
SYNTAX = (
    ("zz: {{a: 1, b: 2", 0),
    ("zz: [1, 2", 0),
    ("zz: 'no end", 0),
    ("zz:\n\tyy: 1", 1),
    ("zz: a: b", 0),
    ("zz: *nowhere", 0),
    ("zz: @here", 0),
    ("zz: !!int fast", 0),
    ("zz: !!timestamp 2020-13-45", 0),
    ("zz: !!python/object/apply:os.system [ls]", 0),
    ("zz:\n  yy: 1\n xx: 2", 2),
    ("zz:\n  - 1\n  xx: 2", 2),
    ("zz: {{a: 1}} b", 0),
    ("? [a, b]\n: 1", 0),
    ("zz: %s", 0),
    ("zz: &a {{b: *a}}", 0),
)
"""(lines that are no YAML, which of them is wrong from 0)"""
LINES = (
    ("optimizer.lr", "optimizer.lr"),
    ("model.hidden=[32", "model.hidden"),
    ("name=a:{", "name"),
    ("optimizer={lr: 1", "optimizer"),
    ("seed==3", "seed"),
    ("loop.train_steps 5", "loop.train_steps 5"),
    ("optimizer.lr:3e-4", "optimizer.lr:3e-4"),
    ("--optimizer.lr", ""),
    ("name=it's", "name"),
    ("=3", ""),
    ("loop..train_steps=3", "loop..train_steps"),
    (".seed=3", ".seed"),
    ("seed.=3", "seed."),
    ("optimizer@x@y=adam", "optimizer@x@y"),
    ("seed=1,2", "seed"),
    ("mesh=data,fsdp", "mesh"),
    ("output.dir=a(b", "output.dir"),
    ("name=${x", "name"),
    ("~", ""),
    ("+model=mlp", "model"),
    ("++mesh=data", "mesh"),
    ("data=null", "data"),
    ("spec@other=regression", "spec"),
    ("hydra.searchpath=[x]", "hydra.searchpath"),
)
"""(line that is not an override, what the report must name)"""
COMMANDS = ("train", "evaluate", "predict", "export", "check", "show")


def experiments() -> list[str]:
    """Names of the shipped experiments."""
    return sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


def build(seed: int, each: int = 1) -> list[Planted]:
    """The faults, the same for the same seed.

    Args:
        seed: chooses what is planted, and how words are misspelled.
        each: values of a kind that are planted in an experiment, in every way each.
    """
    rng = random.Random(seed)
    found: list[Planted] = []
    known: set[frozenset[str]] = set()
    for turn, name in enumerate(experiments()):
        composed = compose([f"experiment={name}"])
        own = (CONF / "experiment" / f"{name}.yaml").read_text()
        by_kind: dict[str, list[Edit]] = {}
        for edit in edits(rng, composed.tree):
            by_kind.setdefault(edit.kind, []).append(edit)
        kinds = [*by_kind.values()]
        keys = frozenset(_keys(composed.tree))
        if keys in known:  # It differs from another in values alone.
            kinds = _in_turn(turn, kinds, len(kinds) // 3)
        known.add(keys)
        for of_kind in kinds:
            for edit in rng.sample(of_kind, min(each, len(of_kind))):
                found += _ways(edit, name, own, composed.choices, rng)
        found += _of_experiment(name, own, composed.choices, rng, turn)
    return [*found, *_of_all(rng)]


def _keys(tree: Any, path: str = "") -> Iterator[str]:
    """Dotted names of the values of a tree."""
    if not isinstance(tree, dict):
        yield path
        return
    for key, value in tree.items():
        yield from _keys(value, f"{path}.{key}")


def together(corpus: list[Planted], seed: int, count: int) -> list[list[Planted]]:
    """Several faults of one experiment each, which have nothing to do with another."""
    rng = random.Random(seed)
    by_experiment: dict[str, list[Planted]] = {}
    for one in corpus:
        if one.touches and not one.command:
            by_experiment.setdefault(one.experiment, []).append(one)
    combined = []
    while len(combined) < count:
        pool = by_experiment[rng.choice(sorted(by_experiment))]
        chosen: list[Planted] = []
        for one in rng.sample(pool, min(40, len(pool))):
            strangers = all(
                _are_strangers(one, other) and not _are_rivals(one, other)
                for other in chosen
            )
            if strangers and one.kind not in {other.kind for other in chosen}:
                chosen.append(one)
            if len(chosen) == 5:
                break
        if len(chosen) > 2:
            combined.append(chosen)
    return combined


def merged(chosen: list[Planted], own: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words and files of several faults in one."""
    words, text, in_file = [], own, False
    # What breaks a file comes last: nothing can be planted in a broken one.
    for one in sorted(chosen, key=lambda one: one.edit is None):
        words += [word for word in one.words if not word.startswith("experiment=")]
        if one.files:
            in_file = True
            if one.edit:
                text, *_ = plant(text, one.edit.path, one.edit.text)
            else:
                text += dict(one.files)[MINE].removeprefix(own)
    name = chosen[0].experiment
    for one in chosen:
        for word in one.words:
            if one.kind == "unknown choice" and word.startswith("experiment="):
                name = word.partition("=")[2]
    words.insert(0, "experiment=mine" if in_file else f"experiment={name}")
    return tuple(words), {MINE: text} if in_file else {}


def _ways(
    edit: Edit, name: str, own: str, choices: Mapping[str, str], rng: random.Random
) -> Iterator[Planted]:
    force = rng.choice(["+", "++"]) if edit.kind == "unknown key" else ""
    for prefix in {"", force}:
        line = f"{prefix}{edit.key}={edit.text}"
        yield Planted(
            f"{edit.kind}, forced" if prefix else edit.kind,
            name,
            (f"experiment={name}", line),
            edit.named,
            (f"override {line}",),
            near=edit.near,
            touches=(edit.path,),
            inside=edit.inside,
        )
    text, *place = plant(own, edit.path, edit.text)
    places = [f"{MINE}:{place[0]}:{place[1]}"]
    in_experiment = Planted(
        f"{edit.kind}, in YAML",
        name,
        ("experiment=mine",),
        edit.named,
        (),
        ((MINE, text),),
        near=edit.near,
        touches=(edit.path,),
        edit=edit,
        inside=edit.inside,
    )
    yield dataclasses.replace(
        in_experiment, places=_places(MINE, text, edit, (), places)
    )
    word, *rest = edit.path
    if not rest or word not in choices or not _is_free(own, edit.path):
        return
    file = f"{OWN}/{word}/mine.yaml"
    copied = (CONF / word / f"{choices[word]}.yaml").read_text()
    text, *place = plant(copied, tuple(rest), edit.text)
    places = [f"{file}:{place[0]}:{place[1]}"]
    yield Planted(
        f"{edit.kind}, in YAML",
        name,
        (f"experiment={name}", f"{word}=mine"),
        edit.named,
        _places(file, text, edit, (word,), places),
        ((file, text),),
        near=edit.near,
        inside=edit.inside,
    )


def _places(
    file: str, text: str, edit: Edit, package: tuple[str, ...], places: list[str]
) -> tuple[str, ...]:
    """Where a report may point: at the key itself, or at what it names inside."""
    named = tuple(edit.named.split("."))
    path = named[len(package) :]
    _, found = at(text, path)
    if len(found) == len(path):
        places = [_shown(file, found[-1][0]), *([] if named != edit.path else places)]
    elif len(found) < len(path) and path[len(found)].isdecimal():
        item = found[-1][1].value[int(path[len(found)])]
        return (_shown(file, item),)
    if edit.kind in ("target argument", "missing") and len(found) < len(path):
        # What is missing has no place but that of the section, or of its target.
        places += [_shown(file, key) for key, _ in found[-1][1].value]
    if edit.inside and len(found) == len(path):
        inner = found[-1][1].value
        if isinstance(inner, list):
            places += [_shown(file, pair[0]) for pair in inner]
    return tuple(dict.fromkeys(places))


def _shown(file: str, node: Any) -> str:
    return f"{file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _is_free(own: str, path: tuple[str, ...]) -> bool:
    """Whether an experiment says nothing of a path, so that a choice's value stands."""
    _, found = at(own, path)
    return len(found) == 1 or not found


def _in_turn(turn: int, forms: Sequence[Any], count: int) -> list[Any]:
    """A few of the forms that are the same for every experiment; all come in turn."""
    return [forms[(turn * count + place) % len(forms)] for place in range(count)]


def _of_experiment(
    name: str,
    own: str,
    choices: Mapping[str, str],
    rng: random.Random,
    turn: int,
) -> Iterator[Planted]:
    """What can be wrong with an experiment but for its values."""
    for group, choice in _in_turn(turn, [*choices.items()], 4):
        wrong = misspell(rng, choice, NAMES)
        words = [f"{group}={wrong}"]
        if group != "experiment":
            words.insert(0, f"experiment={name}")
        yield Planted(
            "unknown choice",
            name,
            tuple(words),
            group,
            (f"override {words[-1]}",),
            near=f"{group}={choice}",
            touches=((group,),),
        )
    overrides = [
        (line, text)
        for line, text in enumerate(own.splitlines(), 1)
        if text.startswith("  - override /")
    ]
    for line, text in _in_turn(turn, overrides, min(2, len(overrides))):
        group, choice = text.removeprefix("  - override /").split(": ")
        for wrong, where, near in (
            (f"{group}: {misspell(rng, choice)}", group, f"{group}={choice}"),
            (f"{misspell(rng, group)}: {choice}", "", f"override /{group}"),
        ):
            changed = own.replace(text, f"  - override /{wrong}")
            yield Planted(
                "unknown choice, in YAML" if where else "unknown group, in YAML",
                name,
                ("experiment=mine",),
                where or wrong.split(":")[0],
                (f"{MINE}:{line}:5",),
                ((MINE, changed),),
                near=near,
            )
    for group in ("spec", "data"):
        yield Planted(
            *("missing", name, (f"experiment={name}", f"~{group}"), group),
            *((f"override ~{group}",),),
            touches=((group,),),
            inside=True,
        )
    for key in ("spec.loss", "spec.nothing", "optimzer.lr", "nothing"):
        line = f"~{key}"
        yield Planted(
            "missing" if key == "spec.loss" else "nothing to delete",
            name,
            (f"experiment={name}", line),
            key,
            (f"override {line}",),
            touches=(tuple(key.split(".")),),
        )
    yield from _syntax(name, own, turn)
    yield from _lines(name, turn)
    for key in _in_turn(turn, ("on", "1", "~", "1.5", "2020-01-01"), 2):
        text, row, column = plant(own, (key,), "1")
        yield Planted(
            *("key that is no text", name, ("experiment=mine",), key),
            (f"{MINE}:{row}:{column}",),
            ((MINE, text),),
        )
    for key, value in (("trust", "os"), ("run", "runs/1")):
        text, row, column = plant(own, (key,), value)
        yield Planted(
            *("reserved, in YAML", name, ("experiment=mine",), key),
            (f"{MINE}:{row}:{column}",),
            ((MINE, text),),
        )
    for axis, size in _in_turn(turn, (("data", 3), ("fsdp", 5), ("data", 7)), 1):
        words = (f"experiment={name}", f"mesh.axes.{axis}={size}")
        line = "loop.batch_size=64"
        # Both are given: -1 is unknown before the devices are counted.
        words = (*words, f"mesh.axes.{'data' if axis == 'fsdp' else 'fsdp'}=1")
        yield Planted(
            *("mesh that does not divide", name, (*words, line), "loop.batch_size"),
            (f"override {line}",),
            touches=(("loop", "batch_size"), ("mesh",)),
        )
        text, *_ = plant(own, ("mesh", "axes", axis), str(size))
        text, *_ = plant(text, ("mesh", "axes", "data"), str(size))
        if axis != "fsdp":
            text, *_ = plant(text, ("mesh", "axes", "fsdp"), "1")
        text, row, column = plant(text, ("loop", "batch_size"), "64")
        yield Planted(
            "mesh that does not divide, in YAML",
            name,
            ("experiment=mine",),
            "loop.batch_size",
            (f"{MINE}:{row}:{column}",),
            ((MINE, text),),
        )
    repeated = [path for path in (("name",), ("loop", "train_steps")) if at(own, path)]
    for *above, last in repeated:
        _, found = at(own, (*above, last))
        second = f"  {last}: 1\n" if above else f"{last}: x\n"
        end = found[-1][0].start_mark.index - 2 * len(above)
        text = own[:end] + second + own[end:]
        row = found[-1][0].start_mark.line + 2
        yield Planted(
            "repeated key",
            name,
            ("experiment=mine",),
            MINE,
            (f"{MINE}:{row}:{1 + 2 * len(above)}",),
            ((MINE, text),),
        )


def _syntax(name: str, own: str, turn: int) -> Iterator[Planted]:
    for lines, wrong in _in_turn(turn, SYNTAX, 3):
        text = lines.replace("{{", "{").replace("}}", "}")
        row = own.count("\n") + 1 + wrong
        yield Planted(
            "YAML syntax",
            name,
            ("experiment=mine",),
            MINE,
            (f"{MINE}:{row}",),
            ((MINE, f"{own}{text}\n"),),
            touches=(("zz",),),
        )
    # In the middle, where what follows may be taken for a part of it.
    key = next(key for key in ("train_steps: ", "epochs: ") if key in own)
    text = own.replace(key, key + "{a: ", 1)
    row = own[: own.index(key)].count("\n") + 1
    yield Planted(
        *("YAML syntax", name, ("experiment=mine",), MINE, (f"{MINE}:{row}",)),
        ((MINE, text),),
    )


def _lines(name: str, turn: int) -> Iterator[Planted]:
    for line, where in _in_turn(turn, LINES, 4):
        yield Planted(
            "override syntax",
            name,
            (f"experiment={name}", line),
            where or line,
            (f"override {line}",),
            touches=(tuple(where.split(".")),),
        )


def _of_all(rng: random.Random) -> Iterator[Planted]:
    """What has nothing to do with any experiment."""
    for name in COMMANDS:
        for _ in range(3):
            wrong = misspell(rng, name)
            yield Planted(
                "misspelled command",
                "digits",
                (wrong, "experiment=digits"),
                wrong,
                ("command line",),
                near=name,
                command=True,
            )
    for word in ("experiment", "model", "data", "optimizer", "mesh"):
        wrong, choice = (
            misspell(rng, word),
            "digits" if word == "experiment" else "mine",
        )
        yield Planted(
            "misspelled group",
            "digits",
            (f"{wrong}={choice}",),
            wrong,
            (f"override {wrong}={choice}",),
            near=f"experiment={choice}" if word == "experiment" else word,
        )
    for command, words, where in (
        ("train", ("--config-dir=nowhere",), "--config-dir"),
        ("train", ("run=nowhere",), "run"),
        ("evaluate", (), "run"),
        ("evaluate", ("run=nowhere",), "run"),
        ("predict", ("experiment=digits",), "run"),
        ("export", ("run=.",), "run"),
    ):
        place = (
            f"override {words[0]}" if words and "run" in words[0] else "command line"
        )
        yield Planted(
            *("no such place", "digits", (command, *words), where, (place,)),
            command=True,
        )


def _are_rivals(one: Planted, other: Planted) -> bool:
    """Whether one asks for an experiment, and the other for the user's own."""
    asks = [each.touches[0] == ("experiment",) for each in (one, other)]
    return any(asks) and bool(one.files or other.files)


def _are_strangers(one: Planted, other: Planted) -> bool:
    return not any(
        mine[: len(theirs)] == theirs or theirs[: len(mine)] == mine
        for mine in one.touches
        for theirs in other.touches
    )
