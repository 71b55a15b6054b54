"""Conversion as far as it needs no other package: lookup, verification, refusals."""

import hashlib
import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from specflow.diagnostics.errors import ConfigError, ExportError, OutputError
from specflow.runtime.new_directory import new_directory
from specflow.serving import load_export
from specflow.serving.convert import conversion, convert_export, formats
from specflow.serving.convert.converters import require_packages
from specflow.serving.round_trip import largest_difference

PACKAGES = {"savedmodel": ("tensorflow",), "onnx": ("onnx", "onnxruntime")}


@pytest.mark.parametrize(
    ("format", "package"),
    [(f, name) for f, names in PACKAGES.items() for name in names],
)
def test_a_missing_package_is_reported_with_its_extra(
    export, monkeypatch, format, package
):
    path = export()
    for name in PACKAGES[format]:
        # The others count as installed, so that no other package is asked for.
        monkeypatch.setitem(sys.modules, name, np)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError) as error:
        convert_export(path, format=format)
    assert str(error.value) == (
        f"format={format}: needs the package {package}, which cannot be imported "
        f"(import of {package} halted; None in sys.modules). Install it: "
        f"pip install 'specflow-jax[{format}]'."
    )
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_unknown_format_is_reported_with_the_nearest_name():
    with pytest.raises(ExportError) as error:
        require_packages("saved_model")
    assert str(error.value) == (
        f"format: got 'saved_model'. Expected one of {', '.join(formats())}. Did you "
        "mean savedmodel?"
    )


def test_no_package_of_a_format_is_imported_before_conversion():
    code = (
        "import sys, specflow.serving.convert as convert, specflow.commands.export; "
        "convert.formats(); import specflow_onnx, specflow_savedmodel; "
        "print([n for n in ('tensorflow', 'onnx', 'onnxruntime') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def use_converter(monkeypatch, answer):
    """Installs a converter to `onnx` that needs no package, and answers `answer`."""

    class Fake:
        def write(self, directory, export, programs):
            (directory / "model").write_text("model")
            self.export = export

        def load(self, directory, programs):
            return lambda name, inputs: answer(self.export(name, **inputs), inputs)

    monkeypatch.setattr(conversion, "converter_of", lambda format: Fake())


def test_a_conversion_reports_how_it_was_verified(export, monkeypatch):
    def off(answer, inputs):
        return {"y": answer["y"] + np.float32(2**-14) * (len(inputs["x"]) == 3)}

    use_converter(monkeypatch, off)
    path = export()
    converted = convert_export(path, format="onnx")
    # By hand: x is 0, 1, 2 ..., the weights 1, -2 and 0.5; three rows: -1, -2.5, -4.
    assert converted.furthest == {"serving_default": 2**-16}
    assert str(converted) == (
        "serving_default: onnx answers as the export does for 8 and 3 rows, within "
        "1.5e-05 of the largest magnitude (0.0001 allowed)"
    )
    assert converted.path == path.parent / "onnx" / path.name
    manifest = json.loads((converted.path / "conversion.json").read_text())
    model = hashlib.sha256((converted.path / "model").read_bytes()).hexdigest()
    assert manifest["sha256"] == {"model": model}
    assert manifest["converted_from"] == path.name
    names = sorted(file.name for file in converted.path.iterdir())
    assert names == ["conversion.json", "model"]


def test_a_conversion_that_answers_differently_is_removed(export, monkeypatch):
    use_converter(monkeypatch, lambda answer, inputs: {"y": answer["y"] + 1})
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


def test_an_existing_directory_is_refused_and_kept(export, monkeypatch, tmp_path):
    use_converter(monkeypatch, lambda answer, inputs: answer)
    path, there = export(), tmp_path / "there"
    there.mkdir()
    with pytest.raises(OutputError) as error:
        convert_export(path, format="onnx", output=there)
    assert str(error.value) == (
        f"{there}: exists already. Remove it, or convert to another directory."
    )
    assert list(there.iterdir()) == []


def test_what_a_killed_conversion_left_is_replaced(export, monkeypatch):
    use_converter(monkeypatch, lambda answer, inputs: answer)
    path = export()
    program = (
        "import os, pathlib, signal, sys\n"
        "from specflow.runtime.new_directory import new_directory\n"
        "with new_directory(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    (temporary / 'left').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    final = path.parent / "onnx" / path.name
    killed = subprocess.run([sys.executable, "-c", program, final], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (final.parent / f"temp-{final.name}" / "left").exists()
    assert convert_export(path, format="onnx").path == final
    assert [each.name for each in final.parent.iterdir()] == [final.name]
    assert not (final / "left").exists()


def test_of_two_conversions_to_one_directory_the_second_is_refused(
    export, monkeypatch, tmp_path
):
    use_converter(monkeypatch, lambda answer, inputs: answer)
    path, there = export(), tmp_path / "there"
    with new_directory(there) as temporary:
        (temporary / "file").write_text("content")
        with pytest.raises(OutputError) as error:
            convert_export(path, format="onnx", output=there)
    assert str(error.value) == (
        f"{there}: is being written as temp-there by another process. Wait for that, "
        "remove what was left if there is none, or convert to another directory."
    )
    assert (there / "file").read_text() == "content"


def test_an_output_that_cannot_be_written_is_named(export, monkeypatch, tmp_path):
    use_converter(monkeypatch, lambda answer, inputs: answer)
    path, file = export(), tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError) as mistake:
        convert_export(path, format="onnx", output=file / "inside")
    assert str(mistake.value) == (
        f"output: '{file}/inside' is inside '{file}', which is a file. Expected a "
        "directory. Choose another output."
    )
    with pytest.raises(OutputError) as error:
        convert_export(path, format="onnx", output="/proc/inside")
    assert str(error.value) == (
        "/proc/inside: cannot be written: No such file or directory. Free disk "
        "space or fix the permissions, or convert to another directory."
    )


def test_a_damaged_export_is_not_converted(export, monkeypatch):
    use_converter(monkeypatch, lambda answer, inputs: answer)
    path = export()
    (path / "weights.bin").write_bytes(b"\0" * 12)
    with pytest.raises(ExportError, match=r"weights\.bin: is damaged"):
        convert_export(path, format="onnx")
    assert not (path.parent / "onnx").exists()


def test_the_largest_difference_is_that_of_all_float_outputs():
    one = {"y": np.float32([1, -4]), "z": np.float32([10.0]), "n": np.int32([3])}
    other = {"y": np.float32([1, -5]), "z": np.float32([11.0]), "n": np.int32([9])}
    assert largest_difference(one, other) == 0.25
    assert largest_difference(one, one) == 0
