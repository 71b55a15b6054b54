"""A converter: one serialized JAX function for each signature, weights as .npz."""


class BundleConverter:
    """Writes `<signature>.jax_export` for each signature, beside `weights.npz`."""

    packages = ("jax", "numpy")
    requirement = "specflow-sample"

    def write(self, directory, export, programs):
        """Writes the files; see `specflow.serving.convert.Converter`."""
        import numpy as np

        np.savez(directory / "weights.npz", **export.weights)
        for program in programs:
            file = directory / f"{program.signature.name}.jax_export"
            file.write_bytes(program.exported.serialize())

    def load(self, directory, programs):
        """Returns `(signature, inputs) -> outputs`, from the files alone."""
        import jax
        import numpy as np

        weights = dict(np.load(directory / "weights.npz", allow_pickle=False))

        def predict(name, inputs):
            content = (directory / f"{name}.jax_export").read_bytes()
            function = jax.export.deserialize(bytearray(content))
            return jax.device_get(function.call(weights, dict(inputs)))

        return predict
