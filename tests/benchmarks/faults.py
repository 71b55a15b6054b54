"""Planted faults: what specflow says of them, and what Hydra with `instantiate` says.

Hydra gets the same files and overrides. Every section is made by a plain function that
takes the fields of that section and nothing else, as a constructor would; whatever it
raises counts as found. Shares are those of the faults that are missed: less is better.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from specflow.compose import compose as our_compose
from specflow.compose.read.config_folders import folders
from specflow.compose.section_types import ROOT, Slot
from specflow.config.base import TARGET, Config
from tests.benchmarks.report import Row
from tests.corpus.measure import observe, observe_together, table, written
from tests.corpus.planted import Planted
from tests.corpus.whole import CONF, OWN, build, experiments, merged, together

SEED = 4
OURS_ALONE = ("misspelled command", "reserved, in YAML", "no such place")
"""Kinds of which Hydra cannot know."""
_HYDRA = "Hydra + instantiate"
_GROUPS = frozenset(folders().groups())
_PARTS = "plain_parts"
"""Name of the module that holds what makes sections for Hydra."""


def run(seed: int = SEED, each: int = 1, several: int = 40) -> list[Row]:
    """Shares of faults that are missed, and how long a report takes."""
    corpus = [one for one in build(seed, each) if one.kind not in OURS_ALONE]
    combined = together(corpus, seed, several)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for sound in experiments():
            error, _ = _said([f"experiment={sound}"], [], folder)
            if error:
                raise RuntimeError(f"what is sound is no fault: {sound}: {error}")
        ours = [observe(one, folder) for one in corpus]
        first = [one for some in combined for one in observe_together(some, folder)]
        said = [_said(_added(one, one.words), one.files, folder) for one in corpus]
        at_once = [(some, _said(*_merged(some), folder)) for some in combined]
    print(table(ours, first))
    named = [_names(one, text) for one, (text, _) in zip(corpus, said, strict=True)]
    placed = [_places(one, text) for one, (text, _) in zip(corpus, said, strict=True)]
    in_first = [_names(one, text) for some, (text, _) in at_once for one in some]
    shares = {
        "faults that pass": (
            [bool(one.diagnostics) for one in ours],
            [s for s, _ in said],
        ),
        "their key is not named": ([bool(one.found) for one in ours], named),
        "their place is not told": ([one.placed for one in ours], placed),
        "not in the first report": ([bool(one.found) for one in first], in_first),
    }
    rows = [
        Row(name, "%", _missed(mine), _missed(theirs), _HYDRA)
        for name, (mine, theirs) in shares.items()
    ]
    mine = [one.milliseconds for one in ours]
    theirs = [spent for _, spent in said]
    return [*rows, Row("p95 of a report", "ms", _p95(mine), _p95(theirs), _HYDRA)]


def _missed(found: Sequence[Any]) -> float:
    return 100 * (1 - sum(map(bool, found)) / len(found))


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _merged(chosen: list[Planted]) -> tuple[tuple[str, ...], Iterable[tuple[str, str]]]:
    own = (CONF / "experiment" / f"{chosen[0].experiment}.yaml").read_text()
    words, files = merged(chosen, own)
    return _added(chosen[0], words), files.items()


def _added(planted: Planted, words: Iterable[str]) -> tuple[str, ...]:
    """Overrides for configs in which every default would stand: these add what does.

    Ours leave defaults to the types, and Hydra would refuse to set them.
    """
    known = _keys(planted.experiment)
    return tuple(
        f"++{word}" if word.partition("=")[0] in known and "=" in word else word
        for word in words
    )


@cache
def _keys(experiment: str) -> frozenset[str]:
    def below(tree: Any, path: str) -> Iterable[str]:
        for key, value in tree.items() if isinstance(tree, dict) else ():
            yield f"{path}{key}"
            yield from below(value, f"{path}{key}.")

    tree = our_compose([f"experiment={experiment}"]).tree
    return frozenset(key for key in below(tree, "") if key not in _GROUPS)


def _names(planted: Planted, text: str) -> bool:
    """Whether an error names the key: at least its last part, as it is written."""
    return planted.where in text or f"'{planted.where.rpartition('.')[2]}'" in text


def _places(planted: Planted, text: str) -> bool:
    """Whether an error tells the override, or the file and the line."""
    for place in planted.places:
        if place.startswith("override ") and place.removeprefix("override ") in text:
            return True
        file, _, rest = place.partition(":")
        if rest and Path(file).name in text and f"line {rest.split(':')[0]}" in text:
            return True
    return False


def _said(
    words: Iterable[str], files: Iterable[tuple[str, str]], folder: Path
) -> tuple[str, float]:
    """What Hydra raises, nothing if it does not, and the milliseconds it takes."""
    with written(files, folder):
        began = time.perf_counter()
        try:
            search = [f"hydra.searchpath=[file://{folder / OWN}]"] if files else []
            with initialize_config_dir(str(CONF), version_base="1.3"):
                config = compose("config", [*words, *search])
            tree = OmegaConf.to_container(config, resolve=True)
            instantiate(_with_targets(tree, ROOT))
            text = ""
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        return text, 1000 * (time.perf_counter() - began)


def _with_targets(tree: Any, slot: Slot | None) -> Any:
    """A config as one for `instantiate`: each section says what makes it."""
    if slot is None or not isinstance(tree, dict):
        return tree
    if TARGET in tree:
        return {**tree, "_partial_": True}  # Resolved, and not called: it may be evil.
    inner = {
        key: _with_targets(value, slot.child(key, tree)) for key, value in tree.items()
    }
    section = slot.section(tree)
    if section is not None:
        return {**inner, TARGET: _maker(section)}
    if slot.kinds:
        return {**inner, TARGET: f"nothing.{tree.get('name')}"}
    return inner


@cache
def _maker(section: type[Config]) -> str:
    """Name of a function that takes a section's fields, some of them by default."""
    fields = {f.alias or name: f for name, f in section.model_fields.items()}
    needed = [name for name, field in fields.items() if field.is_required()]
    other = [f"{name}=None" for name in fields if name not in needed]
    name, module = section.__name__, sys.modules.setdefault(_PARTS, ModuleType(_PARTS))
    exec(f"def {name}(*, {', '.join(needed + other)}): ...", vars(module))
    return f"{_PARTS}.{name}"
