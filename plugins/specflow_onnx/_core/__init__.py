"""The compiler from StableHLO to ONNX: imported when an export is converted."""
