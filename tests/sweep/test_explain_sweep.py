"""`specflow explain` has a page for every key of the section `sweep`."""

import pytest

from specflow.cli.main import main
from specflow.compose.section_types import Slot
from specflow.config.sections.sweep import SweepConfig


def keys():
    """(key, overrides that choose the section it is in), of every field."""
    for name, field in SweepConfig.model_fields.items():
        yield f"sweep.{name}", []
        kinds = Slot.of_field(field).kinds
        for kind, section in kinds.members.items() if kinds else ():
            for inner in section.model_fields:
                yield f"sweep.{name}.{inner}", [f"sweep.{name}.name={kind}"]
    both = {"objectives": "{metric: loss}", "constraints": "{metric: loss, at_most: 1}"}
    for name, item in both.items():
        (section,) = SweepConfig.model_fields[name].annotation.__args__
        for inner in section.model_fields:
            yield f"sweep.{name}.0.{inner}", [f"sweep.{name}=[{item}]"]


@pytest.mark.parametrize(
    ("key", "lines"),
    [*keys()],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_key_has_a_page_with_its_meaning_and_type(key, lines, capsys):
    assert main(["explain", key, *lines]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{key}: ")
    assert len(printed.partition(": ")[2].splitlines()[0]) > 10
    assert "\ntakes" in printed
