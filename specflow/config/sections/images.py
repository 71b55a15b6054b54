"""`data=images`: a folder with a folder of images for each class."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from specflow.config.base import UserPath
from specflow.config.broken_rules import Broken, refuse
from specflow.config.kinds import named
from specflow.config.sections.data import SetName
from specflow.config.sections.image_column import ImageColumnConfig, ImageFieldsConfig
from specflow.config.sections.table import (
    ByteSize,
    RowsConfig,
    SplitConfig,
    TableConfig,
)

__all__ = ["CLASS", "MEMBERS", "PATH", "ImagesConfig"]

PATH, CLASS = "path", "class"
"""Columns of the table that a folder of classes is."""
_IMAGE = "image"
"""Column of its features."""


class ImagesConfig(ImageFieldsConfig, RowsConfig):
    """Images in a folder for each class: `root/cat/1.png`, `root/dog/2.jpg`.

    features.image: float32[b,h,w,c]; labels: int32[b], classes in the order of their
    names. It is a table with the columns `path`, which identifies rows, and `class`.
    """

    name: Literal["images"] = "images"
    feature_names: ClassVar[tuple[str, ...]] = (_IMAGE,)
    root: UserPath
    """Folder with a folder of images for each class. `predict` needs no classes."""
    eval_root: UserPath | None = None
    """Such a folder for the evaluation split; null: `split` holds images out."""
    test_root: UserPath | None = None
    """Such a folder for the test split; null: none."""
    eval_sets: dict[SetName, UserPath] = {}
    """Further evaluation sets, reported apart: name -> such a folder."""
    split: SplitConfig = Field(default_factory=SplitConfig)
    """Images of the evaluation and test splits, by the columns `path` and `class`."""
    fold: NonNegativeInt | None = None
    """Fold that is evaluated on, from 0; `split.folds` says how many there are."""
    shuffle: bool = True
    """Train on the images in a new order every epoch."""
    memory: ByteSize = "2GiB"
    """Bound of the decoded images in memory: a number with B, KiB, MiB, GiB or TiB.
    More images are decoded batch by batch, ahead of training."""
    refit: bool = False
    """Fit size, channels, scale and classes anew where the run has fitted ones, and
    print what changes."""

    @model_validator(mode="after")
    def _splits_once(self) -> Self:
        broken: list[Broken] = []
        held = self.eval_root is not None or self.test_root is not None
        if held and self.eval_root is None:
            expected = "a folder, as .test_root is given"
            broken.append(Broken(("eval_root",), None, expected, ".test_root"))
        if held and self.split.folds is not None:
            expected = "null, as .eval_root is the evaluation split"
            broken.append(
                Broken(("split", "folds"), self.split.folds, expected, ".eval_root")
            )
        if self.fold is not None and self.split.folds is None:
            expected = "null, as .split.folds is"
            broken.append(Broken(("fold",), self.fold, expected, ".split.folds"))
        elif self.split.folds is not None and (
            self.fold is None or self.fold >= self.split.folds
        ):
            expected = f"a fold from 0 to {self.split.folds - 1}"
            broken.append(Broken(("fold",), self.fold, expected, ".split.folds"))
        if self.split.by == "files" and not held:
            expected = "a folder of the evaluation split, as .split.by=files"
            broken.append(Broken(("eval_root",), None, expected, ".split.by"))
        refuse("ImagesConfig", broken)
        return self

    @property
    def labels(self) -> list[str]:
        """Columns of labels."""
        return [CLASS]

    @property
    def table(self) -> TableConfig:
        """The table with a row for each image."""
        fields = ImageFieldsConfig.model_fields.keys()
        image: Any = ImageColumnConfig.model_construct(
            **{name: getattr(self, name) for name in fields}, column=PATH
        )
        split = self.split
        if self.eval_root is not None:
            split = SplitConfig(by="files")
        return TableConfig(
            files=[self.root],
            eval_files=_listed(self.eval_root),
            test_files=_listed(self.test_root),
            eval_sets={name: [root] for name, root in self.eval_sets.items()},
            format="folder",
            features=[_IMAGE],
            labels=[CLASS],
            id=[PATH],
            columns={_IMAGE: image, CLASS: "category"},
            split=split,
            fold=self.fold,
            shuffle="rows" if self.shuffle else False,
            memory=self.memory,
            refit=self.refit,
        )


def _listed(root: str | None) -> list[str]:
    return [] if root is None else [root]


MEMBERS = named(ImagesConfig)
"""Name -> class."""
