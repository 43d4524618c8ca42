"""Classical systems: hand-made features or embeddings of a network, fitted models over them, and stacks of systems.

What judges needs scikit-learn, skops, SciPy, and XGBoost for its own systems (the extra `classical`), and is loaded
only with such a bundle. Nothing here knows TensorFlow, or where examples come from: that is `model.training.classical`.
"""
