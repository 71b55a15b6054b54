"""Every planted mistake is reported with its place; none is a traceback."""

import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from specflow.diagnostics.errors import ConfigError
from tests.corpus.measure import observe, observe_together, table
from tests.corpus.whole import CONF, OWN, build, experiments, together

SEED = 4
TOGETHER = 40
"""Number of reports of several mistakes at once."""
PROCESSES = 6


@pytest.fixture(scope="module")
def corpus():
    return build(SEED)


@pytest.fixture(scope="module")
def outcomes(corpus, tmp_path_factory):
    """Outcomes of every fourth mistake; `make faults` plants them all."""
    folder = tmp_path_factory.mktemp("single")
    chosen = [planted for place, planted in enumerate(corpus) if place % 4 == 0]
    assert len(chosen) >= 250
    assert {one.kind for one in chosen} == {one.kind for one in corpus}
    return [observe(planted, folder) for planted in chosen]


@pytest.fixture(scope="module")
def beside(corpus, tmp_path_factory):
    """Outcomes of mistakes that were planted beside others."""
    folder = tmp_path_factory.mktemp("together")
    chosen = together(corpus, SEED, TOGETHER)
    return [outcome for some in chosen for outcome in observe_together(some, folder)]


def described(outcomes):
    """Returns outcomes as lines, for the message of a failed test."""
    return [
        f"{one.planted}\n    wanted {one.planted.where} at {one.planted.places}\n"
        + (
            one.crash
            or "; ".join(f"{it.where} ({it.origin})" for it in one.diagnostics)
        )
        for one in outcomes
    ]


def test_the_corpus_is_large_and_of_many_kinds(corpus):
    kinds = {one.kind.partition(", ")[0] for one in corpus}
    assert len(corpus) >= 500
    assert len(kinds) >= 12
    assert {one.experiment for one in corpus} == set(experiments())
    assert sum(bool(one.files) for one in corpus) > 200


def test_the_corpus_is_the_same_for_the_same_seed(corpus):
    assert build(SEED) == corpus


def test_every_planted_mistake_is_reported_and_none_is_a_traceback(outcomes):
    assert described(one for one in outcomes if one.crash or not one.found) == []
    assert ConfigError.exit_code == 2


def test_nearly_every_mistake_is_reported_with_its_place(outcomes):
    lost = [one for one in outcomes if not one.placed]
    assert len(lost) <= 0.02 * len(outcomes), "\n".join(described(lost))


def test_nearly_every_nearest_choice_is_suggested(outcomes):
    meant = [one for one in outcomes if one.planted.near]
    lost = [one for one in meant if not one.offered]
    assert len(lost) <= 0.05 * len(meant), "\n".join(described(lost))


def test_one_mistake_is_rarely_reported_as_several(outcomes):
    """Errors that may only follow from the planted mistake are suppressed."""
    several = [one for one in outcomes if len(one.diagnostics) > 2]
    assert len(several) <= 0.02 * len(outcomes), "\n".join(described(several))


def test_the_first_report_names_nearly_all_of_several_mistakes(beside):
    assert described(one for one in beside if one.crash) == []
    # A rule is not checked on a value with another mistake.
    lost = [one for one in beside if not one.found]
    assert len(lost) <= 0.05 * len(beside), "\n".join(described(lost))


def test_the_table(outcomes, beside, capsys):
    with capsys.disabled():
        print(f"\n{table(outcomes, beside)}")
    assert Counter(one.planted.kind for one in outcomes).total() == len(outcomes)


def test_processes_report_the_same_as_the_api(outcomes, tmp_path):
    """Runs a few of the mistakes, each as a command."""
    some = [one for one in outcomes if not one.planted.command]
    for one in random.Random(SEED).sample(some, PROCESSES):
        for name, text in one.planted.files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        own = [f"--config-dir={OWN}"] if one.planted.files else []
        ended = subprocess.run(
            [sys.executable, "-m", "specflow", "show", *own, "--", *one.planted.words],
            cwd=tmp_path,
            env={"PYTHONPATH": str(CONF.parent), "PATH": "", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
        lines = ended.stderr.splitlines()
        assert len(lines) == len(one.diagnostics), ended.stderr
        for line, diagnostic in zip(lines, one.diagnostics, strict=True):
            assert re.match(rf"error\[[\w-]+\] {re.escape(str(diagnostic))}$", line)


def test_an_experiment_has_no_other_mistakes_than_the_planted(tmp_path):
    """The user's own copies are sound before anything is planted in them."""
    from specflow.compose import compose

    for name in experiments():
        text = (CONF / "experiment" / f"{name}.yaml").read_text()
        (tmp_path / "experiment").mkdir(exist_ok=True)
        (tmp_path / "experiment" / "mine.yaml").write_text(text)
        assert compose(["experiment=mine"], config_dirs=[tmp_path]).config.name == name
