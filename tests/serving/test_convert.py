"""Conversion as far as it needs no other packages: what is refused, and how."""

import subprocess
import sys

import numpy as np
import pytest

from specflow.diagnostics.errors import ConfigError, ExportError, OutputError
from specflow.serving import load_export
from specflow.serving.convert import FORMATS, convert_export, require_packages
from specflow.serving.round_trip import furthest


@pytest.mark.parametrize(
    ("format", "package"), [(f, one) for f, all in FORMATS.items() for one in all]
)
def test_a_missing_package_is_named_with_its_extra(
    export, monkeypatch, format, package
):
    path = export()
    for name in FORMATS[format]:
        # What is there counts as there: no other package is asked for.
        monkeypatch.setitem(sys.modules, name, np)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError) as error:
        convert_export(path, format=format)
    assert str(error.value) == (
        f"format={format}: needs the package {package}, which cannot be imported "
        f"(import of {package} halted; None in sys.modules). Install it: "
        f"pip install 'specflow-jax[{format}]'."
    )
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_unknown_format_is_answered_with_the_near_miss():
    with pytest.raises(ExportError) as error:
        require_packages("saved_model")
    assert str(error.value) == (
        "format: got 'saved_model'. Expected one of savedmodel, onnx. Did you mean "
        "savedmodel?"
    )


def test_no_package_of_a_format_is_loaded_before_it_is_asked_for():
    code = (
        "import sys, specflow.serving.convert, specflow.commands; "
        "print([n for n in ('tensorflow', 'onnx', 'onnxruntime') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


class Stand:
    """Writes a file, and answers as it is told to: a format that needs no package."""

    def __init__(self, monkeypatch, answer):
        import specflow.serving.convert.conversion as conversion

        def write(format, folder, loaded, programs):
            (folder / "model").write_text("model")
            return lambda name, inputs: answer(loaded(name, **inputs), inputs)

        monkeypatch.setattr(conversion, "_write", write)
        monkeypatch.setattr(conversion, "FORMATS", {"onnx": ()})


def test_a_conversion_says_with_what_it_was_verified(export, monkeypatch):
    def off(answer, inputs):
        return {"y": answer["y"] + np.float32(2**-14) * (len(inputs["x"]) == 3)}

    Stand(monkeypatch, off)
    path = export()
    conversion = convert_export(path, format="onnx")
    # By hand: x is 0, 1, 2 ..., the weights 1, -2 and 0.5; three rows: -1, -2.5, -4.
    assert conversion.furthest == {"serving_default": 2**-16}
    assert str(conversion) == (
        "serving_default: onnx answers as the export does for 8 and 3 rows, within "
        "1.5e-05 of the largest magnitude (0.0001 allowed)"
    )
    assert conversion.path == path.parent / "onnx" / path.name
    assert [one.name for one in conversion.path.iterdir()] == ["model"]


def test_what_answers_otherwise_than_the_export_is_never_seen(export, monkeypatch):
    Stand(monkeypatch, lambda answer, inputs: {"y": answer["y"] + 1})
    path = export()
    with pytest.raises(ExportError) as error:
        convert_export(path, format="onnx")
    first, second = str(error.value).splitlines()
    assert first == (
        f"{path}: serving_default: onnx answers 8 rows differently: 'y' differs in 8 "
        "of 8 values, by 1 at most. Expected at most 0.0001 of the largest magnitude. "
        "Nothing was written."
    )
    assert "onnx answers 3 rows differently" in second
    assert list((path.parent / "onnx").iterdir()) == []
    load_export(path)


def test_a_directory_that_is_there_is_left_alone(export, monkeypatch, tmp_path):
    Stand(monkeypatch, lambda answer, inputs: answer)
    path, there = export(), tmp_path / "there"
    there.mkdir()
    with pytest.raises(OutputError) as error:
        convert_export(path, format="onnx", output=there)
    assert str(error.value) == (
        f"{there}: is there already. Remove it, or convert to another directory."
    )
    assert list(there.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(export, monkeypatch, tmp_path):
    Stand(monkeypatch, lambda answer, inputs: answer)
    path, file = export(), tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError) as mistake:
        convert_export(path, format="onnx", output=file / "inside")
    assert str(mistake.value) == (
        f"output: '{file}/inside' lies in '{file}', which is a file. Expected a "
        "directory. Choose another output."
    )
    with pytest.raises(OutputError) as error:
        convert_export(path, format="onnx", output="/proc/inside")
    assert str(error.value) == (
        "/proc/inside: cannot be written: No such file or directory. Make room or "
        "mend the permissions, or convert to elsewhere."
    )


def test_a_damaged_export_is_not_converted(export, monkeypatch):
    Stand(monkeypatch, lambda answer, inputs: answer)
    path = export()
    (path / "weights.bin").write_bytes(b"\0" * 12)
    with pytest.raises(ExportError, match=r"weights\.bin: is damaged"):
        convert_export(path, format="onnx")
    assert not (path.parent / "onnx").exists()


def test_the_furthest_of_all_outputs_counts_and_whole_numbers_do_not():
    one = {"y": np.float32([1, -4]), "z": np.float32([10.0]), "n": np.int32([3])}
    other = {"y": np.float32([1, -5]), "z": np.float32([11.0]), "n": np.int32([9])}
    assert furthest(one, other) == 0.25
    assert furthest(one, one) == 0
