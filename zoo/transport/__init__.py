"""HTTP: one GET and its limits, and several sources in order to one file."""
