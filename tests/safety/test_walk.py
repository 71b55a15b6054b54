"""Every callable that can be imported here, tried as a target.

What may run is decided by the file in which it was written, which is not what the
resolver looks at.
"""

import random
import sys
from pathlib import Path

import flax
import jax
import optax
import pytest

import specflow
from specflow.compose import compose
from specflow.compose.check.targets import resolve
from specflow.diagnostics.errors import ConfigError, Diagnostic
from tests.safety import names

SEED = 20
MOST = 15_000
"""Names in names that are tried; all of them would be forty times as many."""

_JAX = Path(jax.__file__).parent
WRITTEN_IN = [
    Path(optax.__file__).parent,
    *(Path(flax.__file__).parent / room for room in ("linen", "nnx")),
    *(_JAX / room for room in ("nn", "numpy", "_src/nn", "_src/numpy")),
    _JAX / "_src" / "dtypes.py",  # promote_types and isdtype of jax.numpy
    *(
        Path(specflow.__file__).parent / room
        for room in (
            *("data", "spec", "metrics", "model", "optimizer"),
            *("tf/metrics", "tf/optimizers"),
        )
    ),
]
DANGEROUS = (
    *(f"os.{act}" for act in ("exec", "fork", "posix_spawn", "spawn", "system")),
    *(f"os.{act}" for act in ("mkdir", "remove", "rename", "rmdir")),
    *("subprocess.", "shutil.", "socket.", "pickle.", "ctypes.dlopen"),
)
"""Audit events, by how they begin, that no resolution may cause."""


class Auditor:
    """Records audit events while `listening`; Python cannot remove an audit hook."""

    def __init__(self):
        self.events: list[tuple[str, str]] = []
        self.listening = False
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if self.listening and event.startswith(DANGEROUS):
            self.events.append((event, repr(arguments)[:200]))


@pytest.fixture(scope="module")
def auditor():
    made = Auditor()
    yield made
    made.listening = False


@pytest.fixture(scope="module")
def tried():
    """Names to try, with all that may be imported for them imported already."""
    modules = [module for name in names.ALLOWED for module in names.modules_below(name)]
    first, second = names.names_inside(modules)
    some = random.Random(SEED).sample(second, MOST)
    return [*first, *some, *names.TRICKS], names.names_outside()


@pytest.mark.filterwarnings("ignore")  # Names of JAX that are on their way out.
def test_nothing_outside_the_list_resolves_runs_or_is_imported(tried, auditor):
    inside, outside = tried
    before, found = set(sys.modules), {}
    auditor.listening = True
    for name in (*inside, *outside):
        value = resolve("model._target_", name)
        if not isinstance(value, Diagnostic):
            found[name] = value
    auditor.listening = False
    print(f"{len(inside)} names inside, {len(outside)} outside, {len(found)} resolved")
    assert set(sys.modules) - before == set()
    assert auditor.events == []
    strays = {
        name: names.file_of(value)
        for name, value in found.items()
        if not any(Path(names.file_of(value)).is_relative_to(it) for it in WRITTEN_IN)
    }
    assert strays == {}
    assert not set(found) & set(names.TRICKS)
    assert not [name for name in found if "._" in name]
    assert all(name.startswith(names.ALLOWED) for name in found)
    assert len(inside) > 20_000
    assert len(outside) > 20_000
    assert len(found) > 1_500, "a resolver that refuses all is safe, and of no use"


@pytest.mark.parametrize(
    "value", [["os", "system"], {"_target_": "os.system"}, 3, None]
)
def test_a_value_that_is_not_text_is_not_a_target(value):
    assert isinstance(resolve("model._target_", value), Diagnostic)


OWN = """
import functools
import os
import os as tools
import pickle
from os import system
from os import system as harmless
from jax.numpy import load
from jax.numpy import load as read
from subprocess import Popen as Net

class Box:
    run = os.system
    module = os
    popen = staticmethod(Net)
    class Inner(dict): ...

run = functools.partial(system, "touch ran")
again = functools.update_wrapper(functools.partial(system), lambda: None)
deep = functools.partial(functools.partial(system))
alias = dict[str, int]
bound = "text".format
lookup = pickle.loads
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes modules of the user's own; none of them outlives the test."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "tools.system",
        "os.path.join",
        "system",
        "harmless",
        "load",
        "read",
        "Net",
        "Box.run",
        "Box.module.system",
        "Box.popen",
        "Box.Inner.fromkeys",
        "Box.mro",
        "run",
        "again",
        "deep",
        "alias",
        "bound",
        "lookup",
        "functools.partial",
        "pickle.loads",
        "run.func",
    ],
)
def test_trust_does_not_reach_what_a_package_imports(name, own):
    root = own(own_tools=OWN)
    diagnostic = resolve("model._target_", f"own_tools.{name}", trust=["own_tools"])
    assert isinstance(diagnostic, Diagnostic), diagnostic
    assert not (root / "ran").exists()


def test_a_module_outside_is_not_imported_by_a_name_through_an_inner_one(own):
    """`flax.nnx.jax.tools.x` imported `jax.tools`, and any module there could run."""
    root = own(own_tools="import outer")
    (root / "outer").mkdir()
    (root / "outer" / "__init__.py").write_text("")
    (root / "outer" / "trap.py").write_text("raise RuntimeError('ran')")
    diagnostic = resolve("m", "own_tools.outer.trap.run", trust=["own_tools"])
    assert str(diagnostic) == (
        "m: 'own_tools.outer.trap.run' leads outside its package: own_tools.outer is "
        "outer. Expected a callable defined in the trusted packages."
    )
    assert "outer.trap" not in sys.modules


def test_a_reader_of_pickles_stays_refused_under_another_name(own):
    """`flax.linen.attention.jnp.load` was one such name: it unpickles when asked to."""
    own(own_tools="from jax.numpy import load as read")
    diagnostic = resolve("m", "own_tools.read", trust=["own_tools"])
    assert str(diagnostic) == (
        "m: 'own_tools.read' can execute code that a file contains. "
        "Expected a callable defined in the trusted packages."
    )


def test_a_module_that_ends_the_process_is_reported(own):
    own(own_end="raise SystemExit(0)")
    diagnostic = resolve("m", "own_end.Net", trust=["own_end"])
    assert isinstance(diagnostic, Diagnostic)
    assert diagnostic.code == "target-import"


WORDS = ("model", "data", "optimizer", "optimizer.schedule", "spec.loss.a", "mesh.axes")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", ["os.system", "flax.nnx.jax.numpy.load"])
def test_no_section_resolves_a_dangerous_target(word, name, auditor):
    line = f"{word}={{_target_: {name}, command: touch ran}}"
    auditor.listening = True
    with pytest.raises(ConfigError) as caught:
        compose(["experiment=digits", line])
    auditor.listening = False
    assert auditor.events == []
    assert f"{word}._target_" in {
        diagnostic.where for diagnostic in caught.value.diagnostics
    }


@pytest.mark.parametrize("name", ["os", "sys", "builtins", "_posixsubprocess", "a.b"])
def test_no_module_of_the_standard_library_can_be_trusted(name):
    with pytest.raises(ConfigError):
        compose([f"trust=[{name}]", f"model._target_={name}.system"])
    with pytest.raises(ConfigError):
        compose([f"model._target_={name}.system"], trust=[name])
