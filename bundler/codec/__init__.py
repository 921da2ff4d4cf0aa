"""Bytes to and from the model: no file, network, clock or randomness."""
