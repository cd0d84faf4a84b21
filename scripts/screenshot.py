"""Photographs the catalogue for the docs: `python -m scripts.screenshot DIRECTORY [--out docs/catalogue.png]`.

`zoo site` writes the page from the packaged registry. A few of its models are exported into DIRECTORY, at true size,
from seeded random weights, and timed there. Models that DIRECTORY holds already are not made again. Needs Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from export.options import EncoderRequest, TokenizerRequest
from export.pipeline import export_encoder, export_tokenizer
from scripts.random_checkpoint import write
from zoo.fetching.registries import read_registry
from zoo.publishing.serve import server
from zoo.registry.registry import PACKAGED, to_record
from zoo.registry.writing import update_registry
from zoo.site import write_site
from zoo.site.speed import measure

# model -> the checkpoint's name in SIZES, and the options of the export
BUILT: dict[str, tuple[str, dict[str, object]]] = {
    "albert_tiny": ("albert_tiny", {}),
    "albert_small": ("albert_small", {}),
    "rbt3": ("rbt3", {"heads": ()}),
    "bert_1": ("bert", {"layers": 1}),
    "electra_small": ("electra_small", {"pooler": "first_token"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/catalogue.png"))
    options = parser.parse_args()
    dist = options.directory / "dist"
    if not (dist / "index.html").is_file():
        make(options.directory, dist)
    write_site(dist)
    photograph(dist, options.out)


def make(directory: Path, dist: Path) -> None:
    """Fill `dist` with the packaged registry and archives of some of its models."""
    for size in {size for size, _ in BUILT.values()}:
        write(size, directory / size)
    for name, (size, told) in BUILT.items():
        export_encoder(EncoderRequest(directory / size, name, directory / "exported", **told))  # type: ignore[arg-type]
    export_tokenizer(TokenizerRequest(directory / "bert", "bert_tokenizer_chinese", directory / "exported"))
    exported, packaged = read_registry(directory / "exported" / "registry.json").models, read_registry(PACKAGED).models
    entries = {}
    for name, entry in packaged.items():
        facts = to_record(exported[name]) if name in exported else {}
        entries[name] = type(entry).model_validate({**facts, **to_record(entry)})
    archives = {directory / "exported" / f"{name}.tar.gz": dist / f"{name}.tar.gz" for name in exported}
    update_registry(dist / "registry.json", entries, archives)
    measure(dist)


def photograph(dist: Path, out: Path) -> None:
    """Write a picture of the top of the page, at the width of a desktop."""
    with server(dist, port=0) as http, sync_playwright() as playwright:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1180})
        page.goto(f"http://127.0.0.1:{http.server_port}/")
        page.screenshot(path=out)
        browser.close()
        http.shutdown()


if __name__ == "__main__":
    main()
