"""Exceptions of user code keep their type and location, with a note of the caller."""

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


def test_the_traceback_of_a_failing_component_has_a_note_with_its_path(capsys):
    with pytest.raises(KeyError, match="kernel") as caught:
        Broken()()
    path = f"{__name__}.Broken"
    assert caught.value.__notes__ == [NOTE.format(path)]
    assert report_error(caught.value) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last):")
    assert 'raise KeyError("kernel")' in printed
    assert NOTE.format(path) in printed


def test_the_traceback_of_a_failing_target_has_a_note_with_its_path():
    section = Target.model_validate({"_target_": "mine.broken_net", "width": 3})
    section.bind(broken_net)
    with pytest.raises(ValueError, match="width is 3") as caught:
        section()
    assert caught.value.__notes__ == [NOTE.format("mine.broken_net")]
