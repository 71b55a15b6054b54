"""`data=mixture`: several sources of rows, mixed by weights."""

import functools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, PositiveInt, create_model, model_validator

from specflow.config.base import Component, Config, Target
from specflow.config.broken_rules import Broken, refuse
from specflow.config.kinds import Kinds, Members, named
from specflow.config.sections.data import DataConfig, SetName
from specflow.config.sections.records import RecordsConfig
from specflow.config.sections.table import RowsConfig

__all__ = ["MEMBERS", "MixtureConfig", "records_of", "tables_of"]

_NAME = "mixture"
_SPLITS = ("train", "eval", "test")
_KINDS: Kinds = get_args(DataConfig)[1]


class _Parts(Members):
    """Name -> class of each kind of data but mixtures, with the field `weight`."""

    def __getitem__(self, name: str) -> type[Config]:
        if name == _NAME:
            raise KeyError(name)
        member: Any = _KINDS.members[name]
        return _with_weight(member)

    def get(self, name: str, default: Any = None) -> Any:
        """The class; the default also for a plugin that fails to load."""
        member: Any = None if name == _NAME else _KINDS.members.get(name)
        return default if member is None else _with_weight(member)

    def __contains__(self, name: object) -> bool:
        return name != _NAME and name in _KINDS.members

    def __iter__(self) -> Iterator[str]:
        return (name for name in _KINDS.members if name != _NAME)


@functools.cache
def _with_weight(section: Any) -> type[Config]:
    """The class of a part of a kind.

    Args:
        section: its class.
    """
    base: type[Config] = section
    weight = Field(
        default=None,
        gt=0.0,
        allow_inf_nan=False,
        description="Weight of the part, a number above 0; the weights of all parts "
        "need not add up to 1. null: by its number of training rows.",
    )
    return create_model(
        section.__name__,
        __base__=base,
        __module__=section.__module__,
        __doc__=section.__doc__,
        weight=(float | None, weight),
    )


PartConfig = Annotated[Config, Kinds(_Parts())]
"""Data of one part, with its weight."""


class MixtureConfig(Config):
    """Several sources of rows, mixed by weights into one endless stream.

    In every prefix of n rows a part has its share of n to within less than one row.
    Rows of all parts have the same arrays. Each part is an evaluation set of its own,
    beside all evaluation rows together.
    """

    name: Literal["mixture"] = "mixture"
    parts: dict[SetName, PartConfig] = Field(min_length=1)  # type: ignore[valid-type]
    """Name -> data of any other kind, with its `weight`. All parts have a weight, or
    none has."""
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """t: without weights a part of r training rows has the weight r ** (1 / t). 1: in
    proportion to the rows; larger: closer to equal shares."""
    limit: PositiveInt | None = None
    """Largest number of rows of a part that counts for its weight, without weights;
    null: none."""
    epoch: Literal["first_exhausted", "all_exhausted"] = "first_exhausted"
    """Length of an epoch of `loop.epochs`; the stream itself has no end.
    `first_exhausted`: the longest prefix in which no part gives a row twice;
    `all_exhausted`: the shortest after which every row of every part was given."""
    shuffle: bool = True
    """Shuffle the training rows every epoch; a part may keep its own order."""

    @property
    def weights(self) -> dict[str, float] | None:
        """Weight of each part; None: they have none."""
        parts: dict[str, Any] = self.parts
        weights = {name: part.weight for name, part in parts.items()}
        return None if None in weights.values() else weights

    @property
    def eval_sets(self) -> dict[str, Any] | None:
        """Names of the evaluation sets; None: a function of the user has more."""
        if any(isinstance(part, Target | Component) for part in self.parts.values()):
            return None
        return dict.fromkeys(_set_names(self.parts))

    @property
    def refit(self) -> bool:
        """Whether the columns of tables are fitted anew."""
        return any(table.refit for table in tables_of(self).values())

    @property
    def labels(self) -> list[str]:
        """Columns of labels of the tables."""
        tables = tables_of(self).values()
        names = [name for each in tables for name in each.labels]  # type: ignore[attr-defined]
        return list(dict.fromkeys(names))

    @model_validator(mode="after")
    def _parts_suit(self) -> Self:
        parts: dict[str, Any] = self.parts
        broken: list[Broken] = []
        weighted = [name for name, part in parts.items() if part.weight is not None]
        for name, part in parts.items():
            if name in _SPLITS:
                expected = "a name other than train, eval and test, which splits have"
                broken.append(Broken(("parts", name), name, expected))
            if getattr(getattr(part, "augment", None), "changes", False):
                expected = "no changes: rows of a mixture are not augmented"
                where = ("parts", name, "augment")
                broken.append(Broken(where, part.augment.model_dump(), expected))
            for key, column in getattr(part, "columns", {}).items():
                if getattr(getattr(column, "augment", None), "changes", False):
                    expected = "no changes: rows of a mixture are not augmented"
                    where = ("parts", name, "columns", key, "augment")
                    broken.append(Broken(where, column.augment.model_dump(), expected))
            if weighted and part.weight is None:
                beside = f"data.parts.{weighted[0]}.weight"
                expected = f"a number above 0, as part {weighted[0]} has a weight"
                where = ("parts", name, "weight")
                broken.append(Broken(where, None, expected, beside))
        by_rows = {"temperature": (self.temperature, 1.0), "limit": (self.limit, None)}
        for key, (value, default) in by_rows.items():
            if weighted and value != default:
                expected = f"{'null' if default is None else default:}"
                expected += ", as parts have weights of their own"
                beside = f"data.parts.{weighted[0]}.weight"
                broken.append(Broken((key,), value, expected, beside))
        names = _set_names(parts)
        for name in {name for name in names if names.count(name) > 1}:
            expected = f"names of parts and their eval_sets of which one is {name}"
            broken.append(Broken(("parts",), [*parts], expected))
        refuse("MixtureConfig", broken)
        return self


def _set_names(parts: Mapping[str, Any]) -> list[str]:
    """Names of the evaluation sets: the parts, and the further sets of each part."""
    own = [
        f"{name}_{each}"
        for name, part in parts.items()
        for each in getattr(part, "eval_sets", None) or {}
    ]
    return [*parts, *own]


def tables_of(config: Any) -> dict[str, RowsConfig]:
    """The tables and images of a `data` section: key -> section.

    >>> from specflow.config.sections.table import TableConfig
    >>> tables_of(TableConfig(files=["a.csv"])).keys()
    dict_keys(['data'])
    """
    if isinstance(config, RowsConfig):
        return {"data": config}
    if not isinstance(config, MixtureConfig):
        return {}
    return {
        f"data.parts.{name}": part
        for name, part in config.parts.items()
        if isinstance(part, RowsConfig)
    }


def records_of(config: Any) -> list[RecordsConfig]:
    """The sections of records of a `data` section, itself or its parts."""
    parts: Any = config.parts.values() if isinstance(config, MixtureConfig) else ()
    return [each for each in (config, *parts) if isinstance(each, RecordsConfig)]


MEMBERS = named(MixtureConfig)
"""Name -> class."""
