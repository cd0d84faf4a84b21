"""Fine-tuning on several machines: tf.distribute.MultiWorkerMirroredStrategy, with hub.KerasLayer in tf_keras.

    python examples/multi_worker.py --encoder albert_tiny --tokenizer bert_tokenizer_chinese

starts two workers on this machine, and one process alone that takes the joint batch; their losses have to be the same,
step by step. On a cluster, start it on every machine with TF_CONFIG set: then it is that worker, and nothing is
compared. Without trained models, on the random weights of the quick start: --registry dist/quickstart/registry.json
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import zoo

TOLERANCE = 1e-4  # of a loss: the order in which gradients are summed up differs


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="albert_tiny", help="a name, URL, .tar.gz or unpacked directory")
    parser.add_argument("--tokenizer", default="bert_tokenizer_chinese", help="the same, of the encoder's vocabulary")
    parser.add_argument("--registry", metavar="PATH_OR_URL", help="another one than ZOO_REGISTRY or the packaged one")
    parser.add_argument("--workers", type=int, default=2, help="processes on this machine, where TF_CONFIG is not set")
    parser.add_argument("--steps", type=int, default=20, help="of training; default %(default)s")
    parser.add_argument("--batch-size", type=int, default=32, help="of all workers together")
    parser.add_argument("--max-length", type=int, default=32, help="in tokens; longer texts are cut")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="default %(default)s")
    parser.add_argument("--alone", action="store_true", help="one process, no strategy")
    return parser


def train(settings: argparse.Namespace) -> list[float]:
    """Return the loss of every step, over the joint batch; the same in every worker. Raises zoo.ZooError."""
    zoo.import_tensorflow_quietly()
    import tensorflow as tf

    # The workers wait for each other here, before TensorFlow is used for anything else.
    alone = settings.alone or "TF_CONFIG" not in os.environ
    strategy = tf.distribute.get_strategy() if alone else tf.distribute.MultiWorkerMirroredStrategy()

    import tensorflow_hub as hub
    import tf_keras as keras
    from text_classification import made_up

    places = (zoo.path(name, registry=settings.registry) for name in (settings.encoder, settings.tokenizer))
    encoder_directory, tokenizer_directory = places
    both = zoo.TextEncoder(encoder_directory, tokenizer_directory)  # which compares them
    length = min(settings.max_length, both.card.sizes.position_limit)

    rows = made_up("single", seed=1)
    preprocess = zoo.load(tokenizer_directory).preprocess
    inputs = preprocess([texts[0] for texts, _ in rows], seq_length=length)
    labels = tf.constant([int(label) for _, label in rows])
    # Of every joint batch, each worker takes its part.
    data = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(settings.batch_size, drop_remainder=True).repeat()
    sharding = tf.data.Options()
    sharding.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA

    with strategy.scope():  # variables made here are mirrored
        keras.utils.set_random_seed(1)
        given = {name: keras.Input([length], dtype=tf.int32, name=name) for name in inputs}
        encoder = hub.KerasLayer(str(encoder_directory), trainable=True, output_key="pooled_output")
        vectors = encoder(given, training=False)  # without dropout, which every worker would draw for itself
        model = keras.Model(given, keras.layers.Dense(2, activation="softmax")(vectors))
        model.compile(keras.optimizers.Adam(settings.learning_rate), loss="sparse_categorical_crossentropy")
    fitted = model.fit(data.with_options(sharding), epochs=settings.steps, steps_per_epoch=1, verbose=0, shuffle=False)
    return [float(loss) for loss in fitted.history["loss"]]


def compare(settings: argparse.Namespace, arguments: list[str]) -> int:
    """Run the workers, and one process alone; print both curves and return 1 where they are not the same."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(settings.workers)]
    tasks = [{"type": "worker", "index": index} for index in range(settings.workers)]
    with ExitStack() as stack:

        def start(*more: str, **variables: str) -> subprocess.Popen[str]:
            command = [sys.executable, __file__, *arguments, *more]
            process = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)  # a worker that is left alone would wait for ever
            return process

        alone = curve(start("--alone"))  # first, so that what is wrong with the models is said once
        workers = [start(TF_CONFIG=json.dumps({"cluster": {"worker": addresses}, "task": task})) for task in tasks]
        together = [curve(worker) for worker in workers]
    difference = max(abs(one - other) for losses in together for one, other in zip(losses, alone, strict=True))
    print(json.dumps({"workers": settings.workers, "together": together[0], "alone": alone, "difference": difference}))
    return 0 if difference <= TOLERANCE else 1


def curve(process: subprocess.Popen[str]) -> list[float]:
    """Return the losses that a process prints."""
    printed, _ = process.communicate()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, process.args))} ended with {process.returncode}.")  # type: ignore[arg-type]
    return json.loads(printed.splitlines()[-1])


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main(arguments: list[str]) -> int:
    settings = options().parse_args(arguments)
    if not settings.alone and "TF_CONFIG" not in os.environ:
        return compare(settings, arguments)
    try:
        print(json.dumps(train(settings)))
    except zoo.ZooError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
