"""What an archive says made it, also where TensorFlow came as tensorflow-cpu."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError

import pytest

import zoo
from export import versions


@pytest.mark.parametrize("distribution", ["tensorflow", "tensorflow-cpu"])
def test_tensorflow_by_either_name(distribution: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: Mapping[str, str] = {distribution: "2.21.3", "tensorflow-text": "2.21.1"}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(versions, "version", version)
    assert versions.versions() == {
        "bert-zoo": zoo.__version__,
        "tensorflow": "2.21.3",
        "tensorflow-text": "2.21.1",
    }
    installed = {"tensorflow-text": "2.21.1"}
    with pytest.raises(PackageNotFoundError, match="tensorflow"):
        versions.versions()
