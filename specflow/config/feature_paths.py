"""Key paths that misspell a feature of the data."""

from collections.abc import Iterator, Mapping
from typing import Any

from specflow.config.broken_rules import Broken
from specflow.config.key_path import key_paths
from specflow.config.kinds import name_of
from specflow.config.sections.spec import DeclaredSpecConfig
from specflow.config.sections.table_spec import TableSpecConfig
from specflow.diagnostics.errors import did_you_mean, nearest

__all__ = ["misspelled_features"]

_SPECS = DeclaredSpecConfig, TableSpecConfig


def misspelled_features(spec: Any, data: Any) -> Iterator[Broken]:
    """Yields the key paths of a spec that misspell a feature of the data.

    Only data whose features its section knows is asked: a table, a file or a source of
    the user is read first. Another name altogether is that of other data, whose spec
    and model are chosen next; the first batch would show it.

    Args:
        spec: section of an experiment.
        data: likewise; `feature_names` are the names of its features.
    """
    names = getattr(data, "feature_names", ())
    if not names or not isinstance(spec, _SPECS):
        return
    known = [f"features.{name}" for name in names]
    for where, path in _all_paths(spec):
        root, _, name = path.partition(".")
        if root != "features" or name in names or not (near := nearest(name, names)):
            continue
        yield Broken(
            ("spec", *where),
            path,
            f"a feature of data={name_of(data)} ({', '.join(known)})",
            "data.name",
            did_you_mean(near, prefix="features."),
        )


def _all_paths(spec: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, path in key_paths(spec).items():
        yield tuple(key.split(".", 1)), path
    for section in ("predictions", "loss", "eval_metrics", "export_outputs"):
        members: Mapping[str, Any] = getattr(spec, section, {})
        for name, member in members.items():
            for key, path in key_paths(member).items():
                yield (section, name, *key.split(".", 1)), path
