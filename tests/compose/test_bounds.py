"""Time and output of composing are bounded; work is counted, not timed."""

import json

import pytest
import yaml

from specflow.cli.main import main
from specflow.compose import compose
from specflow.compose.check import validate as validation
from specflow.compose.merge import interpolations
from specflow.compose.merge.interpolations import (
    MOST_INTERPOLATIONS,
    MOST_RESOLVED,
    Resolution,
)
from specflow.compose.read import documents
from specflow.compose.read.override_grammar import MOST_CHARACTERS
from specflow.diagnostics.errors import MOST_SHOWN, ConfigError

WINE = "# @package _global_\ndefaults:\n  - /experiment/wine\n  - _self_\n"


def doubled(levels):
    """Each text is the one before, twice."""
    texts = {f"z{n}": f"${{z{n - 1}}}${{z{n - 1}}}" for n in range(1, levels + 1)}
    return {"z0": "ab", **texts}


def doubled_lists(levels):
    lists = {f"z{n}": [f"${{z{n - 1}}}"] * 2 for n in range(1, levels + 1)}
    return {"z0": [1], **lists}


def chained(length):
    links = {f"z{n}": f"${{z{n - 1}}}" for n in range(1, length + 1)}
    return {"last": f"${{z{length}}}", **dict(reversed(links.items())), "z0": 7}


def selected(length):
    links = {f"z{n}": f"${{oc.select:z{n - 1}}}" for n in range(1, length + 1)}
    return {**dict(reversed(links.items())), "z0": 7}


@pytest.fixture
def parses(monkeypatch):
    """Texts that OmegaConf's grammar has parsed."""
    texts = []
    parse = interpolations.parse

    def counted(text, *args):
        texts.append(text)
        return parse(text, *args)

    monkeypatch.setattr(interpolations, "parse", counted)
    return texts


@pytest.mark.parametrize("chain", [chained, selected])
@pytest.mark.parametrize("length", [50, 500])
def test_a_chain_of_interpolations_takes_work_that_grows_with_its_length(
    chain, length, parses
):
    result = Resolution(chain(length))
    assert result.failed == []
    assert set(result.values.values()) == {7}
    assert len(parses) <= 2 * length + 2


def test_a_circle_of_interpolations_is_reported_at_each_member():
    circle = {f"z{n}": f"${{z{(n + 1) % 300}}}" for n in range(300)}
    result = Resolution(circle)
    assert [path for path, _ in result.failed] == [(key,) for key in circle]
    assert {str(error) for _, error in result.failed} == {
        "Recursive interpolation detected"
    }
    assert result.visits < 3 * len(circle)


@pytest.mark.parametrize("tree", [doubled, doubled_lists])
@pytest.mark.parametrize("levels", [30, pytest.param(60, marks=pytest.mark.thorough)])
def test_interpolations_that_double_are_refused_at_the_limit(tree, levels, parses):
    result = Resolution(tree(levels))
    (_, error), *_ = result.failed
    assert str(error) == (
        f"interpolations resolve to more than {MOST_RESOLVED:,} values"
    )
    assert len(parses) <= 4 * levels
    assert len(json.dumps(result.values)) < 4 * MOST_RESOLVED


def test_interpolations_nested_too_deeply_are_refused():
    nested = {f"z{n}": [f"${{z{n - 1}}}"] for n in range(1, 200)}
    result = Resolution({"z0": 1, **nested})
    assert str(result.failed[0][1]) == "nested more than 100 levels deep"


def test_the_number_of_interpolations_is_limited():
    many = ["${a}"] * (MOST_INTERPOLATIONS + 1)
    result = Resolution({"a": 1, "all": ["".join(many)]})
    ((path, error),) = result.failed
    assert path == ("all", "0")
    assert str(error) == "there are more than 10,000 interpolations"


@pytest.mark.parametrize(
    ("tree", "values"),
    [
        ({"a": "${b.${c}}", "b": {"k": "${d}"}, "c": "k", "d": 5}, 5),
        ({"a": "${.b}", "b": r"\${x}"}, "${x}"),
        ({"a": "${oc.dict.values:m}", "m": {"k": "${z}"}, "z": 3}, [3]),
        ({"a": "${oc.decode:'[1,2]'}"}, [1, 2]),
        ({"a": {"keys": "${oc.dict.keys:a}"}}, {"keys": ["keys"]}),
        ({"a": "x${b}", "b": {"c": 1}}, "x{'c': 1}"),
        ({"a": "${b.1}", "b": [0, "${c}"], "c": None}, None),
        ({"a": "${b}", "b": {"c": "${..d}"}, "d": 2}, {"c": 2}),
    ],
)
def test_interpolations_resolve_as_omegaconf_resolves_them(tree, values):
    from omegaconf import OmegaConf

    result = Resolution(tree)
    assert result.failed == []
    assert result.values == OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    assert result.values["a"] == values


def test_a_file_of_too_many_values_is_refused_before_it_is_composed(
    project, monkeypatch
):
    readings = []
    parse = yaml.parse

    def counted(*args, **kwargs):
        readings.append(0)
        for event in parse(*args, **kwargs):
            readings[-1] += 1
            yield event

    monkeypatch.setattr(documents.yaml, "parse", counted)
    values = ", ".join(["8"] * 300_000)
    project({"mine/experiment/big.yaml": f"{WINE}model:\n  hidden: [{values}]\n"})
    with pytest.raises(ConfigError) as raised:
        compose(["experiment=big"], config_dirs=["mine"])
    assert str(raised.value).startswith(
        "mine/experiment/big.yaml: is not valid YAML: holds more than 100,000 values "
        "(mine/experiment/big.yaml:6:"
    )
    assert max(readings) < 100_100
    assert len(readings) <= 3


def test_a_long_override_is_refused_before_it_is_parsed():
    line = f"model.hidden=[{','.join(['8'] * 100_000)}]"
    with pytest.raises(ConfigError) as raised:
        compose(["experiment=wine", line])
    assert str(raised.value) == (
        "model.hidden: is an override of 200,014 characters "
        f"(override {line[:57]}...). Expected at most 10,000. Long values belong into "
        "a config file: --config-dir DIR experiment=NAME, of DIR/experiment/NAME.yaml."
    )
    assert len(line) > MOST_CHARACTERS


@pytest.fixture
def wrong(project, monkeypatch):
    """An experiment with 20,000 wrong values; the details that are converted."""
    converted = []
    convert = validation.pydantic_diagnostic

    def counted(*args):
        converted.append(args)
        return convert(*args)

    monkeypatch.setattr(validation, "pydantic_diagnostic", counted)
    values = ", ".join(["x"] * 20_000)
    project({"mine/experiment/wrong.yaml": f"{WINE}model:\n  hidden: [{values}]\n"})
    return converted


COMMAND = ["show", "--config-dir", "mine", "experiment=wrong"]


def test_the_first_errors_are_printed_and_the_others_counted(wrong, capsys):
    assert main(COMMAND) == 2
    *first, last = capsys.readouterr().err.splitlines()
    assert len(first) == MOST_SHOWN
    assert first[-1].startswith("error[type] model.hidden.99: got 'x'")
    assert last == (
        "error[more-errors] 19,900 more errors. "
        "Fix these first: they may have one cause."
    )
    assert len(wrong) <= 2 * MOST_SHOWN


def test_the_report_for_tools_has_the_number_of_the_other_errors(wrong, capsys):
    assert main([*COMMAND, "--format", "json"]) == 2
    output = capsys.readouterr().out
    document = json.loads(output)
    assert len(document["diagnostics"]) == MOST_SHOWN
    assert document["more_errors"] == 19_900
    assert len(output) < 100_000


def test_values_that_are_missing_are_counted_too(project, capsys):
    values = ", ".join(['"???"'] * 3000)
    project({"mine/experiment/wrong.yaml": f"{WINE}model:\n  hidden: [{values}]\n"})
    assert main(COMMAND) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error[more-errors] 2,900 more errors.")
