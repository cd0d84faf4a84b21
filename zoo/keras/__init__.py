"""The layer of Keras 3 over a SavedModel."""
