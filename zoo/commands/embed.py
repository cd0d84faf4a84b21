"""`zoo embed`: turns a corpus into vectors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, get_args

from zoo.basics.display import counted, sheet
from zoo.basics.side_by_side import MOST, cores
from zoo.commands.common import Run, add_json, add_registry, print_json
from zoo.contract import Pooling
from zoo.embed.asked import BATCH_SIZES, FORMATS, Corpus, Dtype, Engine, Runtime, Settings
from zoo.embed.encoder import EncoderSpec

if TYPE_CHECKING:
    from zoo.embed.output import Manifest


def embed_command(parser: argparse.ArgumentParser) -> Run:
    """Turn a corpus (text, JSONL or Parquet) into vectors (Parquet); continue a run that was stopped.

    zoo embed albert_tiny texts.txt vectors
    """
    usual = Settings()
    parser.epilog = (
        "Arguments after `--` go to the engine: Beam's pipeline options, or Spark's, such as spark.master=local[2]."
    )
    parser.add_argument("model", metavar="NAME", help="an encoder or text archive: name, URL, .tar.gz or directory")
    parser.add_argument("input", metavar="INPUT", help="a file, a directory or a quoted pattern")
    parser.add_argument("output", metavar="OUTPUT", help="a directory")
    parser.add_argument("--engine", choices=get_args(Engine), default="local")
    parser.add_argument(
        "--runtime",
        choices=get_args(Runtime),
        default="tensorflow",
        help="onnx: NAME is a text archive that was converted, or the directory of `zoo convert … --to onnx`",
    )
    parser.add_argument("--tokenizer", metavar="NAME", help="of an encoder; default: the one that the registry names")
    parser.add_argument(
        "--pooling",
        metavar="KIND",
        help=f"{', '.join(get_args(Pooling))}, or several joined by '+'; default: the model's own, else mean",
    )
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="give each vector the length 1; default: as the model's card says, else not",
    )
    parser.add_argument(
        "--max-length", metavar="TOKENS", type=int, help="longer texts are cut; default: the model's own, else 128"
    )
    parser.add_argument("--prompt", metavar="TEXT", help="put before each text; default: the model's own, else nothing")
    parser.add_argument(
        "--batch",
        metavar="N",
        type=int,
        help=f"texts computed together; default: {BATCH_SIZES['tensorflow']}, through onnx {BATCH_SIZES['onnx']}",
    )
    parser.add_argument(
        "--batch-invariant", action="store_true", help="the same bits whatever rows are computed together"
    )
    parser.add_argument("--dtype", choices=get_args(Dtype), default=usual.dtype)
    parser.add_argument("--format", choices=sorted({*FORMATS.values()}), help="default: by the names of the files")
    parser.add_argument("--text", metavar="FIELD", default="text", help="field of the text; default: %(default)s")
    parser.add_argument("--pair", metavar="FIELD", help="field of the second text of a pair")
    parser.add_argument("--id", metavar="FIELD", help="default: 'id' if there is one, else the number of the row")
    parser.add_argument("--keep-text", action="store_true", help="write the texts beside the vectors")
    parser.add_argument("--limit", metavar="N", type=int, help="the first N rows only")
    parser.add_argument(
        "--rows-per-part",
        metavar="N",
        type=int,
        default=usual.rows_per_part,
        help="rows of one output file; default: %(default)s",
    )
    parser.add_argument("--strict", action="store_true", help="exit code 2 when there are rows without a vector")
    parser.add_argument("--restart", action="store_true", help="begin anew where OUTPUT holds another run's vectors")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done; fetch the model, write nothing"
    )
    add_registry(parser)
    add_json(parser)

    def embedded(arguments: argparse.Namespace) -> int:
        from zoo.embed.run import plan_corpus, run_plan  # imports numpy, which the other commands do not need

        plan = plan_corpus(
            EncoderSpec(
                arguments.model,
                arguments.tokenizer,
                arguments.pooling,
                arguments.max_length,
                arguments.registry,
                arguments.normalize,
                arguments.prompt,
                arguments.batch_invariant,
                arguments.runtime,
            ),
            Corpus(arguments.input, arguments.format, arguments.text, arguments.pair, arguments.id, arguments.limit),
            arguments.output,
            settings=Settings(arguments.dtype, arguments.keep_text, arguments.batch, arguments.rows_per_part),
            restart=arguments.restart,
        )
        if arguments.dry_run:
            print_json(plan.to_dict()) if arguments.json else print(plan)
            return 0
        with _a_batch_in_each_core() if arguments.engine == "local" else nullcontext():
            done = run_plan(plan, arguments.engine, arguments.handed_on, arguments.restart)
        print_json(done.to_dict()) if arguments.json else print(_summary(done, arguments.output))
        if done.bad:
            rows = "1 row has" if done.bad == 1 else f"{done.bad:,} rows have"
            print(f"{rows} no vector: {plan.job.output.bad_rows} lists them with reasons.", file=sys.stderr)
        return 2 if done.bad and arguments.strict else 0

    return embedded


@contextmanager
def _a_batch_in_each_core() -> Iterator[None]:
    """Let TensorFlow compute a batch in each core, if it is not imported yet and the environment names no threads.

    Threads that share a batch wait for each other in every operation. With more cores than batches may be computed at
    once they share.
    """
    from zoo.text_encoder import INTEROP, INTRAOP

    said = {INTRAOP, INTEROP} & os.environ.keys()
    if said or "tensorflow" in sys.modules or not 1 < cores() <= MOST:
        yield
        return
    os.environ.update({INTRAOP: "1", INTEROP: str(cores())})
    try:
        yield
    finally:
        del os.environ[INTRAOP], os.environ[INTEROP]


def _summary(done: Manifest, output: str) -> str:
    return sheet(
        {
            "output": f"{output}, {counted(done.parts, 'file')}",
            "rows": f"{done.rows:,}",
            "vectors": f"{done.vectors:,} of {done.hidden_size} {done.job['dtype']}",
            "without": f"{done.bad:,}" if done.bad else "",
        }
    )
