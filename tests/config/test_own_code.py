"""What a user's own code raises keeps its type and place, and says who called it."""

from typing import Literal

import pytest

from specflow.config.base import Component, Target
from specflow.diagnostics.rendering import report_error

NOTE = "It was raised in {}, which the configuration names."


class Broken(Component):
    """A section whose build fails."""

    name: Literal["broken"] = "broken"

    def build(self):
        raise KeyError("kernel")


def broken_net(width):
    raise ValueError(f"width is {width}")


def test_a_component_that_fails_is_named_below_its_traceback(capsys):
    with pytest.raises(KeyError, match="kernel") as caught:
        Broken()()
    path = f"{__name__}.Broken"
    assert caught.value.__notes__ == [NOTE.format(path)]
    assert report_error(caught.value) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last):")
    assert 'raise KeyError("kernel")' in told
    assert NOTE.format(path) in told


def test_a_target_that_fails_is_named_below_its_traceback():
    section = Target.model_validate({"_target_": "mine.broken_net", "width": 3})
    section.bind(broken_net)
    with pytest.raises(ValueError, match="width is 3") as caught:
        section()
    assert caught.value.__notes__ == [NOTE.format("mine.broken_net")]
