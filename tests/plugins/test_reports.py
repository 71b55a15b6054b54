"""Reports about sections of plugins, and about unusable plugins."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from specflow.cli.main import main
from specflow.compose.inspect.json_schema import schema_of
from specflow.compose.read.config_folders import folders

GOLDEN = Path(__file__).parents[1] / "golden" / "plugins"

MINE = """\
# @package _global_
defaults:
  - /experiment/stripes
  - override /model: tiny_resnt
  - _self_

model:
  widht: 4
  blocks: two
data: {rows: 1.5, sizes: 3}
spec:
  predictions:
    margin: {of: output}
  loss:
    cross_entropy: {gama: 2, weight: 0}
    second: {name: foval, logits: predictions.logits}
  eval_metrics:
    near: {name: within, distance: near, predictions: predictions.clas}
optimizer:
  decay: much
  schedule: {every: 2.5, final: 0}
output:
  reporters: [tabel, plots, {name: table, column: [loss]}]
  exporters: {none: {name: never, loudly: 1}}
loop:
  early_stopping: {name: diverged, metrics: loss}
"""

CASES = {
    "typos_in_yaml": ["--config-dir=mine", "experiment=mine"],
    "typos_in_overrides": [
        "experiment=strips",
        "model.widht=3",
        "+modle.width=3",
        "spec.loss.cross_entropy.gama=1",
        "data.rows=many",
        "optimizer.schedule.evry=2",
    ],
    "misspelt_names": [
        "model.name=tiny_resnt",
        "data.name=strips",
        "spec.eval_metrics.near={name: withn, predictions: predictions.class}",
        "output.reporters=[tables]",
    ],
    "shipped_beside_the_sample": ["experiment=digits", "model.width=3"],
}


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/mine.yaml").write_text(MINE)


@pytest.mark.parametrize("case", CASES)
def test_the_report_equals_the_golden_file(case, sample, there, capsys, request):
    assert main(["show", *CASES[case]]) == 2
    # specflow's own choices are covered by other tests.
    lists = r"(Choices:|Expected one of) [\w, ]{60,}\."
    printed = re.sub(lists, r"\1 [...].", capsys.readouterr().err)
    file = GOLDEN / f"{case}.txt"
    if request.config.getoption("--update-golden"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(printed)
    assert printed == file.read_text()


EXPECTED = (
    " Expected a subclass of specflow.Component, or a callable with named arguments "
    "only. Fix or upgrade wrong."
)
CLASS = """
from typing import Literal
from pydantic import BaseModel, ConfigDict
from specflow import Component
class Loose(BaseModel):
    a: int = 1
class Tall({base}):
    {name}
    {body}
"""


def _class(base="Component", name='name: Literal["tall"] = "tall"', body="x: int = 1"):
    build = "def build(self): return None"
    return CLASS.format(base=base, name=name, body=f"{body}\n    {build}")


WRONG = {
    "a broken import": (
        "import no_such_package",
        "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'.",
    ),
    "the end of the process": ("raise SystemExit", "cannot be imported: SystemExit."),
    "nothing by that name": (
        "",
        "cannot be imported: AttributeError: module 'wrong' has no attribute 'Tall'.",
    ),
    "a number": ("Tall = 3", "is int."),
    "arguments without names": (
        "def Tall(*sizes): ...",
        "takes *sizes by position only.",
    ),
    "arguments by their place": (
        "def Tall(size, /): ...",
        "takes size by position only.",
    ),
    "what YAML cannot hold": (
        "def Tall(act: complex): ...",
        "needs an argument act, which is complex, which YAML cannot represent.",
    ),
    "a default of another type": (
        "def Tall(size: int = 1.5): ...",
        "has a default 1.5 for size, which is annotated otherwise.",
    ),
    "an annotation that fails": (
        "def Tall(size: 'Size'): ...",
        "has an annotation that fails: NameError: name 'Size' is not defined.",
    ),
    "a model of Pydantic's": (
        _class(base="BaseModel"),
        "is a Pydantic model, but not a specflow.Component.",
    ),
    "no name": (
        _class(name='name: Literal["tal"] = "tal"'),
        'has no field name: Literal["tall"] = "tall".',
    ),
    "nothing to build": (
        _class().replace("def build", "def make"),
        "has no method build.",
    ),
    "unknown keys that go unseen": (
        _class(body='model_config = ConfigDict(extra="allow")'),
        "is not closed: Tall accepts unknown keys.",
    ),
    "a section in it that is not closed": (
        _class(body="inner: list[Loose] = []"),
        "is not closed: Loose accepts unknown keys.",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_unusable_plugin_is_one_error_among_others(what, package, capsys):
    code, message = WRONG[what]
    package("wrong", code, models="tall = wrong:Tall")
    assert main(["show", "model.name=tall", "sede=1"]) == 2
    is_import = "cannot be imported" in message
    lines = capsys.readouterr().err.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("error"))
    # The traceback of a failed import comes first.
    assert bool(start) == (what in ("a broken import", "the end of the process"))
    first, *others = lines[start:]
    rest = (
        " Fix or upgrade wrong, and install what it needs." if is_import else EXPECTED
    )
    kind = "plugin-import" if is_import else "plugin-component"
    assert first == (
        f"error[{kind}] model.name: wrong:Tall of wrong 1.0 {message[:-1]} "
        f"(override model.name=tall).{rest}"
    )
    assert [line.split(":")[0] for line in others] == ["error[unknown-key] sede"]


def test_two_packages_with_one_name_are_reported_where_it_is_used(package, capsys):
    package("one", "def Tall(): ...", models="tall = one:Tall")
    package("two", "def Tall(): ...", models="tall = two:Tall")
    assert main(["show", "model.name=tall"]) == 2
    assert capsys.readouterr().err == (
        "error[plugin-twice] model.name: is declared by one 1.0 and by two 1.0, both "
        "as specflow.models (override model.name=tall). Expected one package for each "
        "name. Uninstall one of them, or ask its authors for another name.\n"
    )
    assert main(["show", "experiment=digits"]) == 0


def test_a_plugin_cannot_replace_a_component_of_specflow(package, capsys):
    package("taker", "raise RuntimeError('imported')", models="cnn = taker:Cnn")
    assert main(["show", "model.widths=[4]"]) == 0
    assert "model.name=cnn " in capsys.readouterr().out
    assert main(["show", "model.width=4"]) == 2
    assert capsys.readouterr().err == (
        "error[unknown-key] model.width: no such field (override model.width=4). Did "
        "you mean model.widths? Fields of cnn: dropout, dtype, hidden, image, name, "
        "outputs, widths.\n"
    )


def test_a_broken_plugin_is_left_out_of_lists(package, capsys):
    package("wrong", "import no_such_package", models="tall = wrong:Tall")
    assert main(["explain", "model"]) == 0
    assert main(["schema", "model"]) == 0
    assert "tall" not in capsys.readouterr().out
    assert main(["show", "model.name=tal"]) == 2
    assert "Did you mean tall?" in capsys.readouterr().err


def test_config_files_of_one_name_are_reported_where_one_is_chosen(package, capsys):
    conf = {"mesh/odd.yaml": "axes: {data: 1}\n"}
    for name in ("one", "two"):
        package(name, conf=conf, folders=f"{name} = {name}.conf")
    assert main(["show", "mesh=odd"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error[plugin-twice] mesh/odd: is provided by several ")
    assert main(["show", "mesh=single"]) == 0


def test_a_missing_config_folder_is_reported_where_a_choice_is_not_found(
    package, capsys
):
    package("wrong", folders="wrong = wrong.conf")
    assert main(["show", "mesh=single"]) == 0
    capsys.readouterr()
    assert main(["show", "mesh=odd"]) == 2
    assert capsys.readouterr().err == (
        "error[plugin-import] specflow.conf: wrong.conf of wrong 1.0 is not a folder. "
        "Expected package.folder, with model/mine.yaml say in it. Fix or upgrade "
        "wrong.\n"
    )


def test_the_schema_has_the_fields_of_plugins(sample):
    schema = schema_of("experiment", folders())
    check = jsonschema.Draft202012Validator(schema)
    good = {
        "model": {"name": "tiny_resnet", "width": 4},
        "data": {"name": "stripes", "rows": 16},
        "spec": {"loss": {"a": {"name": "focal", "gamma": 1.0}}},
        "output": {"reporters": ["plots", "table", {"name": "table", "columns": []}]},
    }
    assert list(check.iter_errors(good)) == []
    for bad in (
        {"model": {"name": "tiny_resnet", "widht": 4}},
        {"model": {"name": "tiny_resnet", "width": 0}},
        {"data": {"name": "stripes", "rows": 1.5}},
        {"spec": {"loss": {"a": {"name": "focal", "gama": 1.0}}}},
        {"output": {"reporters": ["tabel"]}},
    ):
        assert list(check.iter_errors(bad)), bad
    assert "focusing parameter; down-weights easy examples." in json.dumps(schema)


def test_explain_shows_the_docs_of_a_plugin(sample, capsys):
    assert main(["explain", "spec.loss.cross_entropy.gamma", "experiment=stripes"]) == 0
    assert capsys.readouterr().out == (
        "spec.loss.cross_entropy.gamma: focusing parameter; down-weights easy "
        "examples.\n\n"
        "takes    a number\n"
        "default  2.0\n"
        "value    1.0\n"
        "set by   specflow_sample/conf/experiment/stripes.yaml:17:34\n"
    )
    assert main(["explain", "model"]) == 0
    message = (
        "model=tiny_resnet    Residual network for small images, from specflow-sample."
    )
    assert message in capsys.readouterr().out


def test_the_shell_completes_a_plugins_keys_and_choices(sample, capsys):
    def completed(line):
        assert main(["completion", "bash", "--line", line]) == 0
        return capsys.readouterr().out.split()

    assert completed("specflow show experiment=stri") == ["experiment=stripes"]
    assert "model.blocks=" in completed("specflow show model=tiny_resnet model.")
    assert "model.blocks=" in completed("specflow show model.name=tiny_resnet model.")


OWN_LOSS = """
from typing import Literal
from specflow import Component, KeyPath
from specflow.config.base import Config
from specflow.config.common.loss_fields import LossBaseConfig

class Inner(Config):
    rate: float = 1.0

class Own(Component, LossBaseConfig):
    name: Literal["own"] = "own"
    logits: KeyPath = "outputs"
    others: dict[str, KeyPath] = {}
    sizes: int | list[int] | Inner = 1
    pair: tuple[int, int] = (1, 2)

    def build(self, logits, labels, others):
        return logits + labels + sum(others.values())
"""


def test_a_component_may_have_any_pydantic_field(package, capsys):
    package("own", OWN_LOSS, losses="own = own:Own")
    loss = "+spec.loss.a="
    wrong = [
        "sizes: x",
        "sizes: [1, y]",
        "sizes: {rat: 1}",
        "others: {b: outpts}",
        "example_weights: feature.a",
        "label: labels",
    ]
    message = []
    for one in wrong:
        assert main(["show", "experiment=digits", f"{loss}{{name: own, {one}}}"]) == 2
        message += capsys.readouterr().err.splitlines()
    assert [line.partition(" (override")[0] for line in message] == [
        "error[type] spec.loss.a.sizes: got 'x'",
        "error[type] spec.loss.a.sizes.1: got 'y'",
        "error[unknown-key] spec.loss.a.sizes.rat: no such field",
        "error[rule] spec.loss.a.others.b: got 'outpts'; a key path starts with one of "
        "features, labels, outputs, predictions, targets, losses",
        "error[rule] spec.loss.a.example_weights: got 'feature.a'; a key path starts "
        "with one of features, labels, outputs, predictions, targets, losses",
        "error[unknown-key] spec.loss.a.label: no such field",
    ]
    assert main(["schema", "spec"]) == 0
