"""StableHLO as ONNX: a file for each signature, beside the weights of all of them."""

from specflow.serving.convert.onnx.model import ask_onnx, write_onnx, write_weights

__all__ = ["ask_onnx", "write_onnx", "write_weights"]
