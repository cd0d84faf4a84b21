// Times an encoder in ONNX Runtime, a line of JSON for each case: {"runtime", "batch", "length", "ms", …}.
//
//   node bench.js MODEL_DIR [RUNS] [TOKENS,TOKENS,…]
//
// The last case has texts of real lengths, padded to 128 tokens: those of the third argument, one for each row.
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { Encoder } from './lib/encoder.js';
import { orEnd } from './lib/ending.js';

const SHORT_TEXTS = '42,25,18,61,9,18,52,20,23,18,51,28,19,37,35,101,43,23,11,32,33,13,17,70,21,18,24,33,31,25,26,18';
const runtime = `node ${process.versions.node}, onnxruntime ${ort.env.versions.node}`;
const [directory, runs = '20', tokens = SHORT_TEXTS] = process.argv.slice(2);
if (!directory) {
  console.error('usage: node bench.js MODEL_DIR [RUNS] [TOKENS,TOKENS,…]');
  process.exit(2);
}
const model = Encoder.load(join(directory, 'model.onnx'));
const encoder = await orEnd(model, 'The directory is what `zoo convert NAME --to onnx` writes.');

const real = tokens.split(',').map(Number);
const CASES = [
  { kind: 'dense', length: 128, rows: new Array(32).fill(128) },
  { kind: 'dense', length: 64, rows: [64] },
  { kind: 'real', length: 128, rows: real },
];

for (const { kind, length, rows } of CASES) {
  const batch = rows.length;
  const size = batch * length;
  const inputs = {
    shape: [batch, length],
    input_word_ids: Int32Array.from({ length: size }, (_, i) => 5 + (i * 31) % 90),
    input_mask: Int32Array.from({ length: size }, (_, i) => Number(i % length < rows[Math.floor(i / length)])),
    input_type_ids: new Int32Array(size),
  };
  await encoder.run(inputs); // the first one allocates
  const times = [];
  for (let run = 0; run < Number(runs); run++) {
    const started = performance.now();
    await encoder.run(inputs);
    times.push(performance.now() - started);
  }
  const ms = times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
  console.log(JSON.stringify({ runtime, kind, batch, length, ms, runs: times.length }));
}
