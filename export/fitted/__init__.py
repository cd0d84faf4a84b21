"""From a Keras model that was fitted on a model of this zoo to a text archive."""
