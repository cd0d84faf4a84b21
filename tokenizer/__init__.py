"""Tokenization: the vocabulary and the in-graph WordPiece tokenizer."""
