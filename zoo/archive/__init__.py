"""An archive: its card, how it is packed and unpacked, and the files in it that TensorFlow reads."""
