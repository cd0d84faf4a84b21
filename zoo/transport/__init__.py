"""Downloads over HTTP: one request and its limits, and one file from several sources. Nothing here knows of models."""
