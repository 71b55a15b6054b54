"""The same images with other changes in training: none is decoded again."""

import dataclasses
from typing import Any

from specflow.config.sections.augmentation import AugmentConfig
from specflow.config.sections.image_column import ImageColumnConfig
from specflow.config.sections.table import RowsConfig, TableConfig
from specflow.data.experiment_data import Data
from specflow.data.table import ImageSource

__all__ = ["with_other_augmentation"]


def with_other_augmentation(data: Data, built: Any, section: Any) -> Data | None:
    """Returns data for a section that differs from another in the augmentation alone.

    Args:
        data: of the other section.
        built: that section.
        section: of `data`.

    Returns:
        None if the sections differ in more, or if images that were not kept, as parts
        of them were read, would now be.
    """
    if not isinstance(built, RowsConfig) or not isinstance(section, RowsConfig):
        return None
    if not isinstance(data.train, ImageSource) or type(built) is not type(section):
        return None
    before, after = built.table, section.table
    if _plain(before) != _plain(after) or _crops(before) > _crops(after):
        return None
    augment = {
        name: column.augment
        for name, column in after.columns.items()
        if isinstance(column, ImageColumnConfig)
    }
    return dataclasses.replace(data, train=data.train.with_augment(augment))


def _plain(config: TableConfig) -> TableConfig:
    """The section without its augmentation."""
    columns = {
        name: column.model_copy(update={"augment": AugmentConfig()})
        if isinstance(column, ImageColumnConfig)
        else column
        for name, column in config.columns.items()
    }
    return config.model_copy(update={"columns": columns})


def _crops(config: TableConfig) -> bool:
    """Returns whether training reads parts of images."""
    return any(
        isinstance(column, ImageColumnConfig) and column.augment.scaled_crop is not None
        for column in config.columns.values()
    )
