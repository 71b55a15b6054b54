"""YAML as files hold it: its numbers, its keys, its encodings."""

import json
import math
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from specflow.cli.main import main
from specflow.compose import compose
from specflow.compose.inspect.experiment_sources import read_side
from specflow.compose.read.documents import dump, read
from specflow.diagnostics.errors import ConfigError

HEAD = "# @package _global_\ndefaults:\n  - /experiment/digits_mlp\n  - _self_\n"
MARK = b"\xef\xbb\xbf"
NO_TEXT = (
    *("off", "on", "yes", "no", "true", "1", "1.5", "0x10", "1e3", "~", "null"),
    *("2020-01-01", "0100", "1:30"),
)


def value(text):
    return read(f"key: {text}").content["key"]


def is_same(a, b):
    both_nan = isinstance(a, float) and isinstance(b, float) and a != a and b != b
    return both_nan or (type(a) is type(b) and a == b)


def diagnostics(lines):
    with pytest.raises(ConfigError) as refused:
        compose(lines, config_dirs=["mine"] if Path("mine").is_dir() else [])
    return "\n".join(
        f"[{diagnostic.code}] {diagnostic}" for diagnostic in refused.value.diagnostics
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # YAML 1.2.2, 10.3.2, core schema.
        *(("0", 0), ("-19", -19), ("+12", 12), ("0o7", 7), ("0o14", 12), ("0x3A", 58)),
        *(
            ("0.", 0.0),
            ("-0.0", -0.0),
            (".5", 0.5),
            ("+12e03", 12000.0),
            ("-2E+05", -2e5),
        ),
        *((".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf)),
        *((".NAN", math.nan), ("1e-3", 1e-3), ("1.5e3", 1500.0), (".5e1", 5.0)),
        *(("~", None), ("Null", None), ("", None), ("True", True), ("false", False)),
        # Hydra's grammar of numbers.
        *(("1_000", 1000), ("1_0.5", 10.5)),
        # Numbers, dates and more of YAML 1.1 alone; of `0100`, 1.2 has another number.
        *((text, text) for text in ("0100", "-010", "08", "0b11", "1:30", "-1:30:00")),
        *((text, text) for text in ("1:30.5", "190:20:30.15", "1__0", "1_", "_1", "=")),
        *((text, text) for text in ("2020-01-01", "2020-13-45", "-0x10", "0x_1", "1e")),
        # Booleans of YAML 1.1: Hydra and OmegaConf read them in the same files.
        *(("yes", True), ("Off", False)),
    ],
)
def test_scalars_are_those_of_yaml_1_2_and_of_hydra(text, expected):
    assert is_same(value(text), expected)


@pytest.mark.parametrize(
    "text",
    "0100 0040 010 1:30 1:30:00 08 0b11 1_000 -5 1e-3 1.5 .5 1.".split(),
)
def test_a_number_means_in_a_file_what_it_means_on_the_command_line(text):
    """Ground truth: the grammar of Hydra's overrides."""
    typed = OverridesParser.create().parse_override(f"key={text}").value()
    assert is_same(value(text), typed)


@given(st.from_regex(r"[-+]?[0-9_.:eoxab]{1,6}", fullmatch=True) | st.text(max_size=5))
def test_dumped_values_are_read_back_unchanged(text):
    try:
        assert read(dump({"key": text})).content == {"key": text}
    except ConfigError:  # Control characters are no YAML, quoted or not.
        assert not text.isprintable()


@given(st.integers() | st.floats(allow_nan=False))
def test_dumped_numbers_are_read_back_unchanged(number):
    assert is_same(read(dump({"key": number})).content["key"], number)


def test_a_number_of_yaml_1_1_is_refused_with_its_place(project):
    loop = "loop: {train_steps: 0100, batch_size: 0040, eval_every: 1:30}\n"
    project({"mine/experiment/oct.yaml": f"{HEAD}{loop}seed: 010\n"})
    at, whole = "mine/experiment/oct.yaml", "Expected a whole number"
    assert diagnostics(["experiment=oct"]).splitlines() == [
        f"[type] seed: got '010' ({at}:6:1). {whole} >= 0.",
        f"[type] loop.train_steps: got '0100' ({at}:5:8). {whole} > 0 and <= 2e+09, "
        "or null.",
        f"[type] loop.batch_size: got '0040' ({at}:5:27). {whole} > 0.",
        f"[rule] loop.eval_every: got '1:30' ({at}:5:45). {whole} >= 0, epochs such as "
        "0.5 epochs, or a time such as 30s, 10m, 2h.",
    ]


def test_a_tag_does_not_bring_back_numbers_of_yaml_1_1():
    for text in ("!!int 0100", "!!int 1:30", "!!float 1:30.5"):
        with pytest.raises(ConfigError, match=r"not a (whole )?number in YAML 1\.2"):
            value(text)
    assert value("!!int 0o17") == 15
    assert value("!!float 1") == 1.0


@pytest.mark.parametrize("key", NO_TEXT)
def test_a_key_that_is_not_text_is_refused_beside_named_items(key, project):
    judged = (
        "output: {checkpoint: {best: {metric: accuracy, order: highest}}}\n"
        "loop: {early_stopping: {name: higher, metric: top3, threshold: 1.0}}\n"
    )
    metric = "{name: accuracy, predictions: predictions.class}"
    text = f"{HEAD}{judged}spec:\n  eval_metrics:\n    {key}: {metric}\n"
    project({"mine/experiment/m.yaml": text})
    message = diagnostics(["experiment=m"])
    assert message.startswith(f"[type] spec.eval_metrics.{key}: is read by YAML as ")
    assert message.endswith(
        " (mine/experiment/m.yaml:9:5). Expected a key that is text. "
        f"Quote it: '{key}'."
    )
    assert "\n" not in message


def test_keys_that_are_not_text_are_refused_beside_interpolations(project):
    """OmegaConf holds no key that is null or a date."""
    text = (
        f"{HEAD}name: x${{seed}}\nseed: 3\nnull: 1\nspec: {{loss: {{2020-01-01: 2}}}}\n"
    )
    project({"mine/experiment/m.yaml": text})
    message = diagnostics(["experiment=m"])
    assert (
        "[type] null: is read by YAML as null (mine/experiment/m.yaml:7:1)." in message
    )
    assert (
        "[type] spec.loss.2020-01-01: is read by YAML as a date (mine/exper" in message
    )
    assert "interpolation" not in message
    assert "'x${seed}'" not in message


@pytest.mark.parametrize("key", ["null", "true", "1.5"])
def test_a_key_of_an_override_that_is_not_text_belongs_in_a_file(key):
    """Hydra's grammar has no quoted keys."""
    section = "{name: accuracy, predictions: predictions.class}"
    line = f"spec.eval_metrics={{{key}: {section}}}"
    assert diagnostics(["experiment=digits_mlp", line]) == (
        f"[type] spec.eval_metrics.{key}: is read by Hydra as {key} (override {line}). "
        "Expected a key that is text. Overrides have no quoted keys; write "
        f"'{key}' in a config file."
    )


def test_a_quoted_key_is_text(project):
    text = (
        f"{HEAD}spec:\n  eval_metrics:\n    'on': &a {{name: mean, values: outputs}}\n"
    )
    project({"mine/experiment/m.yaml": f"{text}    !!str no: *a\n"})
    metrics = compose(["experiment=m"], config_dirs=["mine"]).config.spec.eval_metrics
    assert list(metrics) == ["accuracy", "top3", "on", "no"]


def test_a_key_that_is_not_text_gives_one_json_document(project, capsys):
    metric = "{name: accuracy, predictions: predictions.class}"
    text = f"{HEAD}spec: {{eval_metrics: {{on: {metric}, no: {metric}}}}}\n"
    project({"mine/experiment/m.yaml": text})
    words = ["show", "--config-dir", "mine", "experiment=m", "--format", "json"]
    assert main(words) == 2
    message = json.loads(capsys.readouterr().out)["diagnostics"]
    assert [(one["code"], one["key"]) for one in message] == [
        ("type", "spec.eval_metrics.on"),
        ("type", "spec.eval_metrics.no"),
    ]


def test_a_byte_order_mark_is_not_content(project, tmp_path):
    """YAML 1.2.2, 5.2: it may stand at the start of a stream."""
    root = project({"mine/experiment/bom.yaml": f"{HEAD}name: bom\n"})
    file = root / "mine/experiment/bom.yaml"
    without = compose(["experiment=bom"], config_dirs=["mine"])
    file.write_bytes(MARK + file.read_bytes().replace(b"\n", b"\r\n"))
    composed = compose(["experiment=bom"], config_dirs=["mine"])
    assert composed.tree == without.tree
    assert composed.places == without.places
    assert composed.config.name == "bom"


def test_a_run_whose_files_were_given_a_byte_order_mark_runs_again(project):
    composed = compose(["experiment=digits_mlp", "seed=3"])
    origins = json.dumps(composed.origins)
    root = project({"run/config.yaml": composed.yaml(), "run/origins.json": origins})
    for file in (root / "run").iterdir():
        file.write_bytes(MARK + file.read_bytes())
    assert compose([f"run={root / 'run'}"]).tree == composed.tree
    side = read_side(str(root / "run"))
    assert side.origins["seed"] == "override seed=3"


@pytest.mark.parametrize(
    ("encoding", "reported"),
    [
        ("utf-16", "is text in UTF-16, not in UTF-8"),
        ("utf-32", "is text in UTF-32, not in UTF-8"),
        ("utf-16-le", "holds NUL characters, as text in UTF-16 does"),
        ("cp1252", "is not UTF-8 text"),
    ],
)
def test_a_file_in_another_encoding_is_refused_by_name(encoding, reported, project):
    root = project({"mine/experiment/other.yaml": ""})
    file = root / "mine/experiment/other.yaml"
    file.write_bytes(f"{HEAD}name: 'é'\n".encode(encoding))
    assert diagnostics(["experiment=other"]) == (
        f"[yaml] mine/experiment/other.yaml: {reported} (mine/experiment/other.yaml)."
    )
