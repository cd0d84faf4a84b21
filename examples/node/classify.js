// Classifies sentence pairs: frozen encoder in ONNX Runtime, dense head trained, saved, reloaded and evaluated.
//
//   node classify.js MODEL_DIR [--train train.jsonl --test test.jsonl] [--save DIR] [--epochs 40]
//
// MODEL_DIR is what `zoo convert NAME --to onnx` wrote. Without files the pairs are made up.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { embed, loadModel } from './lib/encoder.js';
import { orEnd } from './lib/ending.js';
import { Head } from './lib/head.js';
import { madeUpPairs, readPairs } from './lib/pairs.js';

const usage = 'usage: node classify.js MODEL_DIR [--train JSONL --test JSONL] [--save DIR] [--epochs N]';
const { values: options, positionals } = await orEnd(given(), usage);
if (positionals.length !== 1 || !options.train !== !options.test) {
  console.error(usage);
  process.exit(2);
}

const files = [options.train, options.test];
const [train, test] = options.train ? await orEnd(Promise.all(files.map(readPairs))) : madeUp();
const model = await orEnd(loadModel(positionals[0]), 'The directory is what `zoo convert NAME --to onnx` writes.');
const classes = [...new Set(train.labels)].sort();
const labels = ({ labels: names }) => names.map((name) => classes.indexOf(name));

// The encoder is frozen: every vector is computed once.
const started = performance.now();
const [trainVectors, testVectors] = [await embed(model, train.texts), await embed(model, test.texts)];
const seconds = (performance.now() - started) / 1000;

const head = Head.create(trainVectors[0].length, classes.length);
const before = head.accuracy(testVectors, labels(test));
await head.train(trainVectors, labels(train), { epochs: Number(options.epochs) });
const after = head.accuracy(testVectors, labels(test));

const place = options.save ?? (await mkdtemp(join(tmpdir(), 'head-')));
await head.save(place);
const reloaded = (await Head.load(place)).accuracy(testVectors, labels(test));
if (!options.save) await rm(place, { recursive: true });

console.log(JSON.stringify({ train: train.texts.length, test: test.texts.length, classes, before, after, reloaded }));
console.error(`${train.texts.length + test.texts.length} pairs embedded in ${seconds.toFixed(1)} s`);
if (reloaded !== after) throw new Error(`the head read from ${place} gives ${reloaded}, trained it gave ${after}.`);

async function given() {
  return parseArgs({
    allowPositionals: true,
    options: {
      train: { type: 'string' },
      test: { type: 'string' },
      save: { type: 'string' },
      epochs: { type: 'string', default: '40' },
    },
  });
}

/** Pairs to test with are none of those to train with. */
function madeUp() {
  const rows = [...new Map(madeUpPairs(2000).map((row) => [row.sentence1 + row.sentence2, row])).values()];
  const columns = (part) => ({
    texts: part.map(({ sentence1, sentence2 }) => [sentence1, sentence2]),
    labels: part.map(({ label }) => label),
  });
  const cut = Math.floor(rows.length * 0.8);
  return [columns(rows.slice(0, cut)), columns(rows.slice(cut))];
}
