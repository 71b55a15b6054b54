"""Loading: damaged, foreign or different exports are detected before they run."""

import json

import numpy as np
import pytest

from specflow.diagnostics.errors import ExportError
from specflow.runtime.file_digests import content_digest
from specflow.serving import load_export


def rewrite(path, change):
    """Changes the manifest and its digest."""
    file = path / "export.json"
    about = json.loads(file.read_text())
    change(about)
    about["digest"] = content_digest(about)
    file.write_text(json.dumps(about))


def test_a_loaded_export_runs(export, example):
    loaded = load_export(export())
    answer = loaded("serving_default", **example)
    # NumPy, float32; all of these sums are exact.
    np.testing.assert_array_equal(answer["y"], example["x"] @ np.float32([1, -2, 0.5]))
    assert loaded.step == 3


@pytest.mark.parametrize("name", ["weights.bin", "example.bin", "*.jax_export"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_detected_and_named(export, name, damage):
    path = export()
    (file,) = path.glob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flip" else content[:-1])
    why = "No such file or directory" if damage == "remove" else "its digest differs"
    with pytest.raises(ExportError) as error:
        load_export(path, check=False)
    assert str(error.value).startswith(f"{file}: is damaged: {why}")


def test_a_damaged_manifest_is_detected(export):
    path = export()
    file = path / "export.json"
    text = file.read_text()
    for damaged in (text.replace('"step": 3', '"step": 4'), text[:-9], "[]"):
        file.write_text(damaged)
        with pytest.raises(ExportError) as error:
            load_export(path)
        assert str(error.value).startswith(f"{file}: is damaged: ")


def test_a_directory_without_an_export_is_reported_with_the_nearest_export(
    export, tmp_path
):
    path = export()
    with pytest.raises(ExportError) as error:
        load_export(path.parent)
    assert str(error.value) == (
        f"{path.parent}: is no export: it has no export.json. Expected a directory "
        f"that `specflow export` wrote. There is {path}."
    )
    with pytest.raises(ExportError, match="is no export"):
        load_export(tmp_path / "nowhere")


def test_different_outputs_for_the_stored_example_are_detected(
    export, product, example
):
    """As by another compiler: the files are whole, the numbers are others."""
    path = export(exact=True)
    weights = product.weights()["w"]
    (path / "weights.bin").write_bytes(np.nextafter(weights, 9).tobytes())

    def sign(about):
        import hashlib

        content = (path / "weights.bin").read_bytes()
        about["sha256"]["weights.bin"] = hashlib.sha256(content).hexdigest()

    rewrite(path, sign)
    with pytest.raises(ExportError) as error:
        load_export(path)
    assert str(error.value).startswith(
        f"{path}: serving_default: the stored example is answered differently: 'y' "
        "differs in 8 of 8 values, by "
    )
    assert "Expected the same bits. Export it again" in str(error.value)
    assert load_export(path, check=False)(**example)["y"].shape == (8,)
    # On another CPU, a last bit is no difference.
    rewrite(path, lambda about: about["example"].update(exact_on="elsewhere"))
    load_export(path)


def test_an_export_that_differs_from_its_model_is_not_written(
    export, product, tmp_path
):
    product.wrong = 1.0
    with pytest.raises(ExportError, match="answered differently"):
        export()
    assert list((tmp_path / "exports").iterdir()) == []


def test_an_export_for_another_platform_can_be_inspected_but_not_run(export, example):
    path = export(platforms=("tpu",))
    loaded = load_export(path, check=False)
    assert str(loaded) == (
        "serving_default(bias: float32[b], x: float32[b,3]) -> y: float32[b]  [predict]"
    )
    for ask in (lambda: loaded(**example), lambda: load_export(path)):
        with pytest.raises(ExportError) as error:
            ask()
        assert str(error.value) == (
            f"{path}: was exported for tpu, and this is cpu. Export it again with "
            "platforms=(..., 'cpu')."
        )


def test_an_export_of_a_later_format_is_refused(export):
    path = export()
    rewrite(path, lambda about: about.update(format=2))
    with pytest.raises(ExportError, match="has format 2"):
        load_export(path)


def test_an_unknown_signature_is_reported_with_the_nearest_name(export, example):
    loaded = load_export(export(), check=False)
    with pytest.raises(ExportError) as error:
        loaded("serving_defualt", **example)
    assert str(error.value) == (
        f"{loaded.path}: has no signature 'serving_defualt'. Expected one of "
        "serving_default. Did you mean serving_default?"
    )


def test_without_a_default_a_signature_must_be_named(export, example):
    path = export()
    rewrite(path, lambda about: about.update(default=None))
    with pytest.raises(ExportError) as error:
        load_export(path, check=False)(**example)
    assert str(error.value) == (
        f"{path}: has no default. Expected one of serving_default."
    )
