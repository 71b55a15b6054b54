"""`specflow check --topology h100:8`, as it is typed."""

import importlib.metadata
import importlib.util
import json

import pytest

from specflow.cli.main import main

MLP = ["experiment=digits_mlp", "loop.batch_size=64", "loop.eval_batch_size=64"]
TINY = ["experiment=lm_10m", "model.layers=2", "model.width=128", "model.heads=4",
        "model.kv_heads=2", "model.vocabulary=256", "model.dtype=bfloat16",
        "data.length=64", "data.max_bytes=100000", "loop.batch_size=8",
        "loop.eval_batch_size=8"]  # fmt: skip
needs_cuda = pytest.mark.skipif(
    not any(map(importlib.util.find_spec, ["jax_cuda12_plugin", "jax_cuda13_plugin"])),
    reason="CUDA's compiler is not installed: pip install 'specflow-jax[cuda12]'",
)


@pytest.fixture(autouse=True)
def default_share(monkeypatch):
    for name in ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        monkeypatch.delenv(name, raising=False)


def errors(capsys):
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if line.startswith("error")]


def test_known_gpus_are_listed_after_the_tpus(capsys):
    assert main(["check", "--topology", "list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["v4", "v5e", "v5p", "v6e", "a100-40g", "a100-80g", "h100",
                     "h100-nvl", "h200", "b200", "l4", "rtx-4090"]  # fmt: skip


def test_an_unknown_gpu_ends_before_anything_is_composed(capsys):
    assert main(["check", "experiment=nothing", "--topology", "h100:16"]) == 2
    assert errors(capsys) == [
        "error[topology] --topology: got 16 GPUs, and a node of h100 has at most 8 "
        "(command line). Expected a whole number from 1 to 8, and nodes, as in "
        "h100:8*2. Try h100:8*2."
    ]


def test_a_wrong_share_of_the_memory_is_named(capsys, monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "90")
    assert main(["check", *MLP, "--topology", "h100:8"]) == 2
    assert errors(capsys) == [
        "error[memory-fraction] XLA_PYTHON_CLIENT_MEM_FRACTION: got '90' "
        "(environment). Expected a share of the GPU's memory, above 0 and at most 1."
    ]


def test_without_the_compiler_its_extra_is_named(capsys, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["check", *MLP, "--topology", "h100:8"]) not in (0, 2)
    assert errors(capsys) == [
        "error[cuda] --topology: compiling for a GPU takes CUDA's compiler, which is "
        "not installed. Install it with pip install 'specflow-jax[cuda12]' (or "
        "[cuda13]): it needs no GPU and no driver, or give --no-compile."
    ]


def test_a_sweep_refuses_the_trials_whose_state_alone_is_too_large(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    sweep = "model.hidden=[8],[50000,50000]"
    words = ["train", "-m", *MLP, sweep, "--topology", "l4:2", "--no-compile"]
    assert main(words) == 2
    assert errors(capsys) == [
        f"error[exceeds] trial 1 ({' '.join(MLP)} model.hidden=[50000,50000]): "
        "digits_mlp needs 28.0 GiB on each GPU of l4:2 (command line). Expected at "
        "most 16.5 GiB."
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_mesh_that_the_gpus_cannot_form_is_refused(capsys):
    words = ["check", *MLP, "mesh=fsdp", "mesh.axes.tensor=2", "--topology", "h100:3*3",
             "--no-compile"]  # fmt: skip
    assert main(words) == 2
    (error,) = errors(capsys)
    assert error.startswith("error[mesh-devices] mesh.axes.fsdp: got -1, but 9 devices")


@needs_cuda
def test_gpus_are_compiled_for_without_one(capsys):
    """Two layers of two heads on each of two GPUs, of two nodes."""
    words = ["check", *TINY, "model.remat=none", "mesh=fsdp", "--topology", "h100:1*2",
             "--json"]  # fmt: skip
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["chips"], found["unit"], found["mesh"]) == (2, "GPU", {"fsdp": 2})
    assert set(found["programs"]) == {"train", "eval", "predict"}
    train = found["programs"]["train"]
    assert 0 < train["needs"] < train["available"] == found["available"]
    gathered = [row for row in train["collectives"] if row["kind"] == "all-gather"]
    assert gathered
    for row in train["collectives"]:
        # Every group spans both nodes, so that all is sent over the network.
        assert (row["nodes"], row["group"]) == (2, 2)
        assert row["between"] == pytest.approx(row["sent"])
    assert train["bound"]["dcn"] > train["bound"]["ici"] == 0
    calls = {row["target"]: row for row in train["calls"]}
    # Four rows of a batch, four heads, 64 x 64 tokens, heads of 32; two layers.
    square = 2 * 2 * 4 * 4 * 64 * 64 * 32
    forward, backward = (calls[f"__cudnn$fmhaSoftmax{end}"] for end in ("", "Backward"))
    assert (forward["times"], forward["flops"]) == (2, 2 * square)
    assert (backward["times"], backward["flops"]) == (2, 5 * square)
    assert train["workspace"] > 256 << 20


@needs_cuda
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model.attention=cudnn", "model.dtype=float32"],
            "got 'cudnn', but its heads are bfloat16 or float16, and model.dtype is "
            "float32",
        ),
        (
            ["model.attention=splash", "data.length=128"],
            "got 'splash', but the program is for gpu",
        ),
    ],
)
def test_a_kernel_that_the_gpu_does_not_have_is_refused(capsys, overrides, message):
    assert main(["check", *TINY, *overrides, "--topology", "l4:1"]) == 2
    (error,) = errors(capsys)
    kernel = overrides[0]
    assert error == (
        f"error[attention] model.attention: {message} (override {kernel}). Try "
        "model.attention=auto."
    )


@needs_cuda
def test_a_state_that_is_too_large_is_answered_with_another_mesh(capsys):
    """28.0 GiB on each GPU, or 14.0 where it is sharded: with the temporaries that is
    more than JAX takes of an L4, and less than it has."""
    words = ["check", *MLP, "model.hidden=[50000,50000]", "mesh=data", "--topology",
             "l4:2", "--json"]  # fmt: skip
    assert main(words) == 2
    found = json.loads(capsys.readouterr().out)
    assert "programs" not in found  # Not compiled.
    assert found["changes"]["tried"][0] == ["mesh=fsdp"]
    (change,) = found["changes"]["fitting"]
    assert change["overrides"] == ["mesh=fsdp"]
    assert found["available"] < change["needs"] < found["memory"]["total"]
    name, _, share = change["share"].partition("=")
    assert name == "XLA_PYTHON_CLIENT_MEM_FRACTION"
    assert change["needs"] <= float(share) * found["memory"]["total"]
