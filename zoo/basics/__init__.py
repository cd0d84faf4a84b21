"""Files, text for people, URLs and JSON from strangers. Nothing in this folder knows about models."""
