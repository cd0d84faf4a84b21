"""Names, downloads and loads the models of the zoo. Importing it loads no TensorFlow."""
