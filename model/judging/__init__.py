"""Judging a recording with a trained model, on ONNX Runtime and NumPy. Never imports TensorFlow."""
