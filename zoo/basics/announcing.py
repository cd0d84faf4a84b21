"""Announcements while something runs, as "albert_tiny is built once: …", stay plain lines on stderr after absl."""

from __future__ import annotations

import logging
import sys

_LOGGER = logging.getLogger("zoo")


def _is_to_be_logged(record: logging.LogRecord) -> bool:
    """Print a warning as it is, and return False, where nobody but absl has set up logging; otherwise return True.

    Where nobody has, Python prints warnings as they are. But absl, which TensorFlow and Keras log with, calls
    `logging.basicConfig` at its first message, and from then on the same lines would begin with "WARNING:zoo:".
    """
    handlers = logging.root.handlers
    if _LOGGER.handlers or not handlers or not all(map(_is_basic, handlers)):
        return True
    if record.levelno >= logging.WARNING:
        print(record.getMessage(), file=sys.stderr, flush=True)
    return False


def _is_basic(handler: logging.Handler) -> bool:
    """Return whether `logging.basicConfig()` made this handler, without being told any format."""
    written = handler.formatter._fmt if handler.formatter else None
    return type(handler) is logging.StreamHandler and written == logging.BASIC_FORMAT


def announce_plainly() -> None:
    """Let the announcements of zoo, export and tokenizer stay plain lines. A second call changes nothing."""
    for earlier in [each for each in _LOGGER.filters if getattr(each, "__name__", "") == _is_to_be_logged.__name__]:
        _LOGGER.removeFilter(earlier)  # of a `zoo` that a notebook has imported before
    _LOGGER.addFilter(_is_to_be_logged)
