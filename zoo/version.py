"""The version of this package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bert-zoo")
except PackageNotFoundError:  # run from a checkout
    __version__ = "0.1.0"
