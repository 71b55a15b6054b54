"""Retention: which checkpoints are kept, why, and under which names."""

import dataclasses
import json

import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import CheckpointError, ConfigError
from specflow.output import Checkpointer
from specflow.output.checkpoint import retention
from specflow.output.checkpoint.archive import Archive
from specflow.output.checkpoint.best_checkpoint import BestTracker
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.checkpoint_tags import (
    is_tag,
    remove_tag,
    set_tag,
    tagged_steps,
)
from specflow.output.checkpoint.retention import Retention, recorded_policies
from specflow.output.checkpoint.retention_rules import Policies
from specflow.output.checkpoint.saved_arrays import DamagedError

SMALL = {"x": jnp.ones(2)}


class JsonArchive(Archive):
    """Metadata alone, in plain files; a missing file is damage."""

    def metadata(self, path):
        try:
            return json.loads((path / "metadata").read_text())
        except OSError as error:
            raise DamagedError("gone") from error


@dataclasses.dataclass
class Fake:
    """A directory of checkpoints without arrays."""

    directory: CheckpointDirectory

    @classmethod
    def at(cls, path):
        directory = CheckpointDirectory(path)
        directory.archive = JsonArchive()
        return cls(directory)

    def add(self, step, retention, loss=None):
        path = self.directory.step_path(step)
        path.mkdir(parents=True)
        metadata = {
            "metrics": {"loss": loss},
            "arrays": {},
            "files": [],
            **retention.stamp(step),
        }
        (path / "metadata").write_text(json.dumps(metadata))

    def damage(self, step):
        (self.directory.step_path(step) / "metadata").unlink(missing_ok=True)


actions = st.lists(
    st.tuples(
        st.sampled_from(["save", "save", "save", "tag", "damage", "restart"]),
        st.integers(0, 99),
        st.floats(0, 1) | st.none(),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(
    actions,
    st.integers(0, 3),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(1, 3),
    st.sampled_from([float("inf"), 25.0, 100.0]),
)
def test_what_a_rule_keeps_is_never_removed(
    tmp_path_factory, actions, keep, multiple, bests, period
):
    """Against the policies' definitions, over restarts, tags and damage."""
    root = tmp_path_factory.mktemp("rules")
    clock = [1_000_000.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention.time, "time", lambda: clock[0])
        fake = Fake.at(root / "checkpoints")
        best = None if bests is None else BestConfig(keep=bests)
        policies = Policies(
            keep=keep, keep_every_steps=multiple, keep_every_s=period, best=best
        )

        def started():
            tracker = None if best is None else BestTracker(fake.directory, best)
            return Retention(fake.directory, policies, tracker)

        keeper, step, losses, damaged, tagged = started(), 0, {}, set(), {}
        last_preserved, permanent = clock[0], set()
        for kind, number, loss in actions:
            there = fake.directory.steps()
            if kind == "restart":
                keeper = started()
            elif kind == "tag" and there:
                tagged[f"t{number}"] = there[number % len(there)]
                set_tag(fake.directory, tagged[f"t{number}"], f"t{number}", move=True)
            elif kind == "damage" and there:
                damaged.add(there[number % len(there)])
                fake.damage(there[number % len(there)])
                losses.pop(there[number % len(there)], None)
                keeper = started()  # Damage is found by the next process.
                if not permanent & {*there} and damaged >= {*there}:
                    last_preserved = clock[0]  # Nothing tells when the period began.
            elif kind == "save":
                step += 1
                clock[0] += 10.0
                fake.add(step, keeper, loss)
                losses[step] = loss
                if clock[0] >= last_preserved + period:
                    permanent.add(step)
                    last_preserved = clock[0]
                before = fake.directory.steps()
                keeper.remove_expired()
                after = fake.directory.steps()
                newest = before[-keep:] if keep else before
                ranked = sorted(
                    (value, -at)
                    for at, value in losses.items()
                    if at in before and value is not None
                )
                by_loss = {-at for _, at in ranked[: bests or 0]}
                by_step = {s for s in before if multiple and s % multiple == 0}
                good = [s for s in before if s not in damaged][-1:]
                expected = {*newest, *by_loss, *by_step, *good, *tagged.values()}
                expected |= permanent & set(before)
                assert set(after) == expected & set(before)
                # What is there has a reason, and only that.
                assert all(keeper.reasons().values())
                assert keeper.reasons().keys() == set(after)
        assert tagged_steps(fake.directory) == tagged


def test_every_reason_is_named(tmp_path, monkeypatch):
    clock = [1_000_000.0]
    monkeypatch.setattr(retention.time, "time", lambda: clock[0])
    fake = Fake.at(tmp_path)
    best = BestConfig(keep=2)
    policies = Policies(keep=2, keep_every_steps=40, keep_every_s=60.0, best=best)
    keeper = Retention(fake.directory, policies, BestTracker(fake.directory, best))
    for step, loss in enumerate([0.9, 0.1, 0.8, 0.7, 0.5, 0.6, 0.9, 0.9, 0.95], 1):
        clock[0] += 10.0
        fake.add(10 * step, keeper, loss)
        if step == 3:
            set_tag(fake.directory, 30, "baseline")
            set_tag(fake.directory, 30, "a.1")
        keeper.remove_expired()
    assert keeper.reasons() == {
        20: ["best loss"],
        30: ["tag a.1, baseline"],
        40: ["every 40 steps"],
        50: ["best loss #2"],
        60: ["one per period"],
        80: ["newest 2", "every 40 steps"],
        90: ["latest", "newest 2"],
    }
    # A later process without any policy reads them from the checkpoints.
    assert recorded_policies(fake.directory) == policies


def test_the_newest_undamaged_checkpoint_is_kept_beside_damaged_ones(tmp_path):
    fake = Fake.at(tmp_path)
    keeper = Retention(fake.directory, Policies(keep=0))
    for step in (1, 2, 3, 4):
        fake.add(step, keeper)
    for step in (3, 4):
        fake.damage(step)
    Retention(fake.directory, Policies(keep=1)).remove_expired()
    assert fake.directory.steps() == [2, 4]


def test_a_checkpoint_that_is_tagged_while_it_is_removed_stays(tmp_path, monkeypatch):
    fake = Fake.at(tmp_path)
    keeper = Retention(fake.directory, Policies(keep=1))
    for step in (1, 2):
        fake.add(step, keeper)
    reasons = keeper.reasons

    def tagged_after_the_rules_were_asked():
        before = reasons()
        set_tag(fake.directory, 1, "mine")
        return before

    monkeypatch.setattr(keeper, "reasons", tagged_after_the_rules_were_asked)
    keeper.remove_expired()
    assert fake.directory.steps() == [1, 2]
    assert tagged_steps(fake.directory) == {"mine": 1}


# -- tags


@pytest.mark.parametrize(
    "name",
    ["best", "latest", "500", "", "a/b", "../up", ".hidden", "a b", "-x", 7 * "ä"],
)
def test_names_that_are_no_tags_are_refused(tmp_path, name):
    fake = Fake.at(tmp_path)
    fake.add(1, Retention(fake.directory, Policies()))
    assert not is_tag(name)
    with pytest.raises(ConfigError) as caught:
        set_tag(fake.directory, 1, name)
    assert str(caught.value) == (
        f"tag: got {name!r}. Expected a name of letters, digits, '.', '_' and '-' that "
        "is no number, and neither best nor latest."
    )
    assert tagged_steps(fake.directory) == {}


def test_a_tag_moves_only_if_that_is_requested(tmp_path):
    fake = Fake.at(tmp_path)
    keeper = Retention(fake.directory, Policies(keep=0))
    for step in (1, 2):
        fake.add(step, keeper)
    set_tag(fake.directory, 1, "release")
    set_tag(fake.directory, 1, "release")
    with pytest.raises(ConfigError) as caught:
        set_tag(fake.directory, 2, "release")
    assert str(caught.value) == (
        "tag: 'release' is the checkpoint of step 1. --move moves it to step 2; in "
        "Python, move=True."
    )
    set_tag(fake.directory, 2, "release", move=True)
    assert tagged_steps(fake.directory) == {"release": 2}
    assert remove_tag(fake.directory, "release") == 2
    with pytest.raises(CheckpointError) as missing:
        remove_tag(fake.directory, "release")
    assert str(missing.value) == (
        f"{tmp_path}: no checkpoint has the tag 'release'. Expected a step, best, "
        "latest or a tag. There are no tags. Steps: 1, 2."
    )


def test_a_tag_selects_its_checkpoint_and_survives_later_saves(tmp_path):
    with Checkpointer(tmp_path, keep=1) as checkpointer:
        for step in (1, 2, 3, 4):
            checkpointer.save(step, SMALL)
            checkpointer.wait()
            if step == 2:
                set_tag(CheckpointDirectory(tmp_path), 2, "baseline")
        assert checkpointer.steps() == [2, 4]
        assert checkpointer.resolve("baseline") == 2
        assert checkpointer.resolve("latest") is None
        with pytest.raises(CheckpointError) as caught:
            checkpointer.resolve("basline")
    assert str(caught.value) == (
        f"{tmp_path}: no checkpoint has the tag 'basline'. Expected a step, best, "
        "latest or a tag. Did you mean baseline? Tags: baseline (step 2). Steps: 2, 4."
    )


def test_several_best_checkpoints_are_kept_and_saved(tmp_path):
    """The three lowest, as sorting gives them."""
    losses = {1: 0.9, 2: 0.3, 3: 0.8, 4: 0.2, 5: 0.7, 6: 0.95, 7: 0.5}
    with Checkpointer(tmp_path, keep=1, best=BestConfig(keep=3)) as checkpointer:
        wanted = {}
        for step, loss in losses.items():
            wanted[step] = checkpointer.is_new_best({"loss": loss})
            checkpointer.save(step, SMALL, metrics={"loss": loss})
        checkpointer.wait()
        assert checkpointer.steps() == [2, 4, 7]
        assert checkpointer.best() == (4, "loss", 0.2)
    assert wanted == {1: True, 2: True, 3: True, 4: True, 5: True, 6: False, 7: True}
