"""Converters of other packages: found by their entry point, checked and used."""

import numpy as np
import pytest

import specflow as sf
from specflow.cli.main import main
from specflow.contract import PredictOutput
from specflow.diagnostics.errors import ConfigError, ExportError
from specflow.output.export.exporting import write_export
from specflow.runtime import entry_points
from specflow.serving.convert import formats, require_packages


class Doubled:
    """x -> 2 x, as the exporter takes models."""

    def weights(self):
        return {"two": np.float32(2)}

    def outputs(self, sent):
        return {"serving_default": PredictOutput({"y": sent["x"]})}

    def function(self, sent):
        return lambda weights, sent: {
            "serving_default": {"y": sent["x"] * weights["two"]}
        }

    def answers(self, sent):
        return {"serving_default": {"y": sent["x"] * np.float32(2)}}

    def is_narrow(self, sent):
        return False


def test_a_converter_of_another_package_converts_and_is_verified(sample, tmp_path):
    example = {"x": np.arange(8, dtype=np.float32)}
    exports = tmp_path / "exports"
    path = write_export(exports, Doubled(), example, step=1, platforms=("cpu",))
    assert "bundle" in formats()
    converted = sf.convert_export(path, format="bundle")
    assert converted.path == path.parent / "bundle" / path.name
    files = sorted(file.name for file in converted.path.iterdir())
    assert files == ["conversion.json", "serving_default.jax_export", "weights.npz"]
    assert str(converted) == (
        "serving_default: bundle answers as the export does for 8 and 3 rows, within "
        "0 of the largest magnitude (0.0001 allowed)"
    )


def test_the_command_line_takes_formats_of_installed_packages_only(
    sample, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "run=nowhere", "--format", "bundel"]) == 2
    assert "invalid choice: 'bundel'" in capsys.readouterr().err
    assert main(["export", "run=nowhere", "--format", "bundle"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_class_that_is_no_converter_is_refused(package):
    package("wrong", "class Half:\n    packages = ()\n", converters="half = wrong:Half")
    with pytest.raises(ConfigError) as error:
        require_packages("half")
    assert str(error.value) == (
        "half: wrong:Half of wrong 1.0 lacks requirement, write, load. Expected a "
        "class with the members of specflow.serving.convert.Converter. Fix or upgrade "
        "wrong."
    )
    assert error.value.diagnostics[0].code == "plugin-component"


def test_two_packages_with_one_format_are_both_named(package):
    package("one", converters="half = one:Half")
    package("two", converters="half = two:Half")
    with pytest.raises(ConfigError, match=r"by one 1\.0 and by two 1\.0"):
        require_packages("half")


def test_a_format_that_the_installed_metadata_lacks_asks_for_a_new_install(monkeypatch):
    """As after a pull that adds an entry point to an editable install."""
    monkeypatch.setattr(entry_points, "_declared", lambda group: {})
    with pytest.raises(ExportError) as error:
        require_packages("onnx")
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "installation"
    assert "older than the code" in str(diagnostic)
    assert diagnostic.hint.startswith("Run pip install -e . again in ")
    with pytest.raises(ExportError, match="got 'tflite'"):
        require_packages("tflite")
