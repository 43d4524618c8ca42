"""Training: examples from a set, the fit, its callbacks and the bundle at the end. TensorFlow lives here."""
