"""The credit model: features, network, training, calibration, artifact, scoring. Keras and NumPy only."""
