"""Mistakes of users in trees of config files are found, placed and can be undone."""

import random

import pytest
import yaml

from tests.corpus.sources import LINE, apply
from tests.corpus.structure import structural
from tests.corpus.survey import Plan, survey, table
from tests.corpus.trees import tree

PLAN = Plan(seed=5, trees=2, share=0.2, combined=3)
"""A few hundred mistakes; `make faults` plants thousands."""


@pytest.fixture(scope="module")
def outcomes():
    return survey(PLAN, processes=0)


def described(outcomes):
    """Returns outcomes as lines, for the message of a failed test."""
    return [f"{one.kind} ({one.together}): {one.shown}" for one in outcomes]


def test_every_mistake_is_found_and_none_is_a_traceback(outcomes):
    assert len(outcomes) > 60
    assert {one.half for one in outcomes} == {"structure", "habits"}
    assert described(one for one in outcomes if one.crash) == []
    assert described(one for one in outcomes if not one.found) == []


def test_nearly_every_mistake_has_its_place(outcomes):
    lost = [one for one in outcomes if not one.placed]
    assert len(lost) <= 0.02 * len(outcomes), "\n".join(described(lost))


def test_nearly_every_proposal_undoes_the_mistake(outcomes):
    meant = [one for one in outcomes if one.meant]
    lost = [one for one in meant if not one.fixed]
    assert len(lost) <= 0.1 * len(meant), "\n".join(described(lost))


def test_the_table_has_a_row_for_every_kind_and_number(outcomes):
    rows = [row.split("  ")[0] for row in table(outcomes).splitlines()]
    assert {one.kind for one in outcomes} <= {*rows}
    assert {f"{one.together} AT ONCE" for one in outcomes} <= {*rows}


def test_an_edit_changes_its_place_alone():
    """Each of two edits of one tree can be left out."""
    rng = random.Random(3)
    sources = tree(rng)
    edits = [one for one in structural(rng, sources) if one.kind == "rename in a block"]
    first, second = edits[0], edits[-1]
    both = apply(sources, [first, second])
    assert apply(sources, []) == sources
    assert both != apply(sources, [first]) != sources
    texts = dict(apply(sources, [second]).texts)
    for name, text in sources.texts:
        if name == second.changes[0].name:
            assert texts[name] != text
        else:
            assert texts[name] == text
        assert name == LINE or yaml.safe_load(text)
