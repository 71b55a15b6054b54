"""The Pareto front of several objectives."""

from collections.abc import Mapping, Sequence

from specflow.config.sections.sweep import ObjectiveConfig

__all__ = ["undominated"]


def undominated(
    values: Mapping[int, Sequence[float]], objectives: Sequence[ObjectiveConfig]
) -> set[int]:
    """Returns the numbers of the trials that no other one dominates.

    A trial dominates another if it is as good in each objective and better in one.

    Args:
        values: number of a trial -> its values, in the order of the objectives.
        objectives: their directions.

    >>> both = [ObjectiveConfig(metric="loss"),
    ...         ObjectiveConfig(metric="accuracy", direction="maximize")]
    >>> sorted(undominated({0: (0.2, 0.9), 1: (0.1, 0.8), 2: (0.2, 0.8)}, both))
    [0, 1]
    """
    signs = [-1 if one.direction == "maximize" else 1 for one in objectives]
    points = {
        number: tuple(sign * value for sign, value in zip(signs, own, strict=True))
        for number, own in values.items()
    }
    return {
        number
        for number, point in points.items()
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True))
            for other in points.values()
        )
    }
