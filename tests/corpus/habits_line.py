"""Mistakes that users of Hydra and of other command lines make, in overrides."""

import random
import re
from collections.abc import Iterator

from tests.corpus.habits import WORDS
from tests.corpus.sources import LINE, Change, Mistake, Sources
from tests.corpus.trees import shadowed

__all__ = ["on_the_line"]


def on_the_line(rng: random.Random, sources: Sources) -> Iterator[Mistake]:
    """Yields mistakes in overrides, and overrides that are mistakes."""
    text = dict(sources.texts)[LINE]
    for found in re.finditer(r"(?m)^(?P<key>[\w.]+)=(?P<value>.*)$", text):
        key, value = found["key"], found["value"]
        if key == "experiment":
            yield from _experiment(found)
            continue
        section, _, last = key.rpartition(".")
        camel = re.sub("_(.)", lambda one: one[1].upper(), last)
        for kind, new in (
            ("dashes of other command lines", f"--{key}={value}"),
            ("colon for an equals sign", f"{key}:{value}"),
            ("two equals signs", f"{key}=={value}"),
            ("key with slashes", f"{key.replace('.', '/')}={value}"),
            ("key in capitals", f"{key.upper()}={value}"),
            ("key capitalized", f"{key.title()}={value}"),
            ("key in kebab-case", f"{key.replace('_', '-')}={value}"),
            ("key in camelCase", f"{section}.{camel}={value}"),
            ("key of a dict", f"{section}[{last}]={value}"),
            ("section forgotten", f"{last}={value}"),
            ("root of the config object", f"cfg.{key}={value}"),
            ("key with a space", f"{key} ={value}"),
            ("plural and singular", f"{key}s={value}"),
            ("comma at the end", f"{key}={value},"),
            ("added and misspelled", f"+{key}s={value}"),
            ("forced and misspelled", f"++{key}x={value}"),
            ("deleted and misspelled", f"~{key}x"),
        ):
            if new != found[0]:
                keys = (new.partition("=")[0].strip("+~- "), key, last, new)
                yield Mistake(
                    kind,
                    (Change(LINE, *found.span(), new),),
                    keys,
                    certain=False,
                    fix=not kind.startswith("deleted"),
                )
        for kind, new in (
            *([("quoted number", f"{key}='{value}'")] if value[0].isdigit() else []),
            *(
                [
                    ("float for a whole number", f"{key}={value}.0"),
                    ("trailing letters", f"{key}={value}x"),
                ]
                if value.isdigit()
                else []
            ),
            ("choices without a sweep", f"{key}={value},7"),
            ("list of one", f"{key}=[{value}]"),
        ):
            yield Mistake(
                kind,
                (Change(LINE, *found.span(), new),),
                (key,),
                certain=False,
                fix=kind != "choices without a sweep",
            )
        yield Mistake(
            "Python's None",
            (Change(LINE, *found.span(), f"{key}=None"),),
            (key,),
            fix=False,
        )
    end, taken = len(text), shadowed(sources)
    for word, section in WORDS.items():
        line = f"{section}.{word}=3"
        if f"{section}.{word}" not in taken and rng.random() < 0.2:
            yield _added("word of another trainer", line, end, f"{section}.{word}")
    for line, key in (
        ("hydra.run.dir=out", "hydra.run.dir"),
        ("hydra.jobs.name=x", "hydra.jobs"),
        ("trust=os.path", "trust"),
        ("model.name=optimizer", "model.name"),
        ("mesh.model=4", "mesh.model"),
        ("mesh.axes.model=4", "mesh.axes.model"),
        ("mesh.axes.dp=4", "mesh.axes.dp"),
        ("lr=0.1", "lr"),
        ("batch_size=4", "batch_size"),
        ("epochs=3", "epochs"),
        ("learning_rate=0.1", "learning_rate"),
        ("gpus=1", "gpus"),
        ("trainer.max_epochs=3", "trainer"),
        ("optimizer=Adam", "optimizer"),
        ("optimizer=adam.yaml", "optimizer"),
        ("optimizer=conf/optimizer/adam", "optimizer"),
        ("optimizer=[adam]", "optimizer"),
        ("optimizers=adam", "optimizers"),
        ("optimizer=torch.optim.Adam", "optimizer"),
        ("model=MLP", "model"),
        ("+optimizer=adam", "optimizer"),
        ("/optimizer=adam", "/optimizer"),
        ("override /optimizer=adam", "optimizer"),
        ("optimizer@optimizer=adam", "optimizer@optimizer"),
        ("seed", "seed"),
        ("seed=", "seed"),
        ("seed 3", "seed 3"),
        ("seed=three", "seed"),
        ("output.checkpoint.keep=three", "output.checkpoint.keep"),
        ("output.reporters=tensorboard,csv", "output.reporters"),
        ("loop.eval_every=10 m", "loop.eval_every"),
        ("loop.eval_every=every 10", "loop.eval_every"),
        ("data.ids=nope", "data.ids"),
        ("spec.loss=mse", "spec.loss"),
        ("spec.eval_metrics=[accuracy]", "spec.eval_metrics"),
        ("+spec.eval_metrics.mine=accuracy", "spec.eval_metrics.mine"),
        ("+spec.eval_metrics.mine={name: acc}", "spec.eval_metrics.mine"),
        ("+spec.eval_metrics.mine={name:accuracy}", "spec.eval_metrics.mine"),
        ("+spec.eval_metrics.f1={name: f1_score}", "spec.eval_metrics.f1"),
        ("~model", "model"),
        ("~optimizer.lrs", "optimizer.lrs"),
    ):
        if rng.random() < 0.25 and key not in taken:
            yield _added("other habits", line, end, key)


def _added(kind: str, line: str, end: int, key: str) -> Mistake:
    changes = (Change(LINE, end, end, f"{line}\n"),)
    keys = (key, *([line] if " " in line else ()))
    return Mistake(kind, changes, keys, certain=False, fix=False)


def _experiment(found: re.Match[str]) -> Iterator[Mistake]:
    value = found["value"]
    for kind, new in (
        ("choice with .yaml", f"experiment={value}.yaml"),
        ("choice with its folder", f"experiment=experiment/{value}"),
        ("path of a file", f"experiment=mine/experiment/{value}.yaml"),
        ("choice in capitals", f"experiment={value.upper()}"),
        ("plural of a group", f"experiments={value}"),
        ("group misspelled", f"exp={value}"),
        ("dashes of other command lines", f"--experiment={value}"),
        ("dashes of other command lines", f"--config={value}"),
        ("choice misspelled", f"experiment={value}s"),
        ("choice as a list", f"experiment=[{value}]"),
        ("group added twice", f"+experiment={value}"),
    ):
        yield Mistake(
            kind,
            (Change(LINE, *found.span(), new),),
            ("experiment", new.partition("=")[0].strip("-+"), new),
            certain=False,
            alone=True,
        )
