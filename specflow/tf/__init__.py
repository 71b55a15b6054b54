"""The TensorFlow-shaped API: heads and canned estimators under TensorFlow's names."""
