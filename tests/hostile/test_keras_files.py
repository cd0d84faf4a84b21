"""Tampered .keras files: each is refused in one clear error, no socket is opened, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.hostile.keras_files import KERAS_FILES, URL, KerasFile, layer, record, with_layer, with_members
from tests.zoo.small import tree
from tests.zoo.toyzoo import ToyZoo
from zoo import KerasLayer
from zoo.errors import BadArchive, BadArgument, BadConfig, DownloadFailed, ZooError
from zoo.fetching.places import cache_directory

IDS = [[2, 5, 3]]


@pytest.fixture(scope="module")
def good(toy_zoo: ToyZoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with one layer of ours, named "encoder", whose file all others are made of. Nothing is in its cache."""
    place = tmp_path_factory.mktemp("keras-files") / "good.keras"
    ids = keras.Input([None], dtype="int32")
    encoder = KerasLayer(toy_zoo.unpacked(), output_key="pooled_output", name="encoder")
    keras.Model(ids, encoder(ids)).save(place)
    return place


@pytest.fixture
def file(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(good, tmp_path / "model.keras"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No socket is opened, whatever an error that this raises is turned into."""
    opened: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        opened.append(repr(arguments))
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    yield
    assert not opened


def load(file: Path) -> keras.Model:
    return keras.models.load_model(file)


def test_the_good_one_loads(file: Path, toy_zoo: ToyZoo) -> None:
    expected = KerasLayer(toy_zoo.unpacked(), output_key="pooled_output")(IDS)
    np.testing.assert_allclose(load(file)(np.array(IDS)), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")  # Keras' own, before it raises
@pytest.mark.parametrize("hostile", KERAS_FILES, ids=lambda hostile: hostile.name)
def test_tampered_files_are_refused(hostile: KerasFile, file: Path) -> None:
    hostile.tamper(file)
    before = tree(file.parent)
    with pytest.raises(ValueError if hostile.by_keras else ZooError, match=hostile.says) as raised:
        load(file)
    assert hostile.by_keras or len(str(raised.value)) < 2000, "a person reads it"
    assert tree(file.parent) == before and not tree(cache_directory())


def test_the_table_has_no_name_twice() -> None:
    assert len({hostile.name for hostile in KERAS_FILES}) == len(KERAS_FILES) >= 30


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_damage_that_keras_sees(name: str, file: Path) -> None:
    def cut(members: dict[str, bytes]) -> None:
        members[name] = members[name][: len(members[name]) // 2]

    with_members(file, cut)
    with pytest.raises((ValueError, OSError)):
        load(file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises((ValueError, OSError, zipfile.BadZipFile)):
        load(file)


def test_a_file_of_before(file: Path) -> None:
    """bert-zoo once recorded the registry; it is not read, wherever it leads to."""
    expected = load(file)(np.array(IDS))
    record(registry="https://registry.example/registry.json")(file)
    model = load(file)
    np.testing.assert_array_equal(model(np.array(IDS)), expected)
    assert "registry.example" not in model.to_json()


# -- a config without weights -----------------------------------------------------------------------------------------


def from_json(file: Path) -> keras.Model:
    with zipfile.ZipFile(file) as members:
        return keras.models.model_from_json(members.read("config.json").decode())


@pytest.mark.parametrize(
    "handle, digest, error, words",
    [
        (
            URL,
            "a" * 64,
            DownloadFailed,
            f"Nothing is downloaded for a config. Run `zoo fetch {URL}` first.*sha256 aaaa",
        ),
        pytest.param(URL, None, DownloadFailed, "`zoo fetch https:", marks=pytest.mark.slow),
        ("toy", "a" * 64, DownloadFailed, "`zoo fetch toy` first"),
        pytest.param("zoo://toy", "a" * 64, DownloadFailed, "`zoo fetch zoo://toy` first", marks=pytest.mark.slow),
        ("//host/share/toy", None, DownloadFailed, "Nothing is downloaded"),
        (r"\\host\share\toy.tar.gz", "a" * 64, DownloadFailed, "Nothing is downloaded"),
        ("https://[", "a" * 64, DownloadFailed, "Nothing is downloaded"),
        ("/dev/zero", "a" * 64, BadArchive, "/dev/zero is not toy any more: it is another model"),
        ("missing/toy.tar.gz", "a" * 64, BadArchive, "missing/toy.tar.gz is not there any more: put it back"),
    ],
)
def test_nothing_is_downloaded_for_a_config(
    handle: str, digest: str | None, error: type[Exception], words: str, file: Path
) -> None:
    record(handle=handle, digest=digest, registry="https://registry.example/registry.json")(file)
    model = from_json(file)
    with pytest.raises(error, match=f"the config of toy holds no weights.*{words}"):
        model(np.array(IDS))
    assert not tree(cache_directory())


def test_a_local_directory_with_the_very_card(file: Path, toy_zoo: ToyZoo, tmp_path: Path) -> None:
    expected = load(file)(np.array(IDS))
    place = Path(shutil.copytree(toy_zoo.unpacked(), tmp_path / "toy"))
    record(handle=str(place), digest=None)(file)
    np.testing.assert_allclose(from_json(file)(np.array(IDS)), expected, atol=1e-6)
    (data,) = place.glob("variables/variables.data*")
    data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises(BadArchive, match="is not toy any more: it is another model, or damaged"):
        from_json(file)(np.array(IDS))


def test_a_local_archive_needs_the_signature_that_any_needs(
    file: Path, toy_zoo: ToyZoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest that a config says pins nothing."""
    from zoo.archive.digests import sha256_of
    from zoo.trust.minisign import write_keys

    record(handle=str(toy_zoo.archive()), digest=sha256_of(toy_zoo.archive()))(file)
    from_json(file)(np.array(IDS))
    shutil.rmtree(cache_directory())
    monkeypatch.setenv("ZOO_TRUSTED_KEY", str(write_keys(file.parent / "release")[2]))
    with pytest.raises(ZooError, match="asks for a signature"):
        from_json(file)(np.array(IDS))


# -- Python -----------------------------------------------------------------------------------------------------------


def configs(file: Path) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    with_layer(file, lambda config: found.append(json.loads(json.dumps(config))))
    return found[0]


def test_from_config_takes_no_other_way(file: Path) -> None:
    config = configs(file)
    for odd in ("toy", ["handle"], None, {**config, "handle": URL}, {**config, "handle": Path("toy")}):
        with pytest.raises(BadConfig, match=r"zoo\.KerasLayer did not write this.*make the layer again"):
            KerasLayer.from_config(odd)  # type: ignore[arg-type]
    with pytest.raises(ZooError):
        KerasLayer(**config)  # the record is no handle; in Python the constructor takes names and URLs


def test_a_layer_of_ones_own_keeps_its_arguments(file: Path) -> None:
    class Mine(KerasLayer):
        def __init__(self, *arguments: Any, scale: float = 1.0, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.scale = scale

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "scale": self.scale}

    made = Mine.from_config({**configs(file), "scale": 2.0})
    assert made.scale == 2.0 and Mine.from_config(made.get_config()).scale == 2.0
    with pytest.raises(BadConfig, match="'scale' is an unknown key"):
        KerasLayer.from_config({**configs(file), "scale": 2.0})
    with pytest.raises(BadConfig, match="'registry' is an unknown key"):
        Mine.from_config({**configs(file), "registry": URL})


def test_endpoints_are_public(file: Path) -> None:
    layer(endpoint="_gather_saveables_for_checkpoint")(file)
    with pytest.raises(BadArgument, match="has no endpoint '_gather"):
        load(file)
