"""The credit model: features, network, training, calibration, artifact, scoring, card. Keras and NumPy only."""

import os

# Before the first import of Keras, wherever that happens.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# The network is far too small to gain from a GPU, and a GPU would not repeat a result bit for bit.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
