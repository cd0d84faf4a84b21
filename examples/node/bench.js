// Times an encoder in ONNX Runtime, a line of JSON for each case: {"runtime", "batch", "length", "ms", …}.
//
//   node bench.js MODEL_DIR [RUNS]
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { Encoder } from './lib/encoder.js';

const CASES = [
  [32, 64],
  [1, 64],
];
const runtime = `node ${process.versions.node}, onnxruntime ${ort.env.versions.node}`;
const [directory, runs = '20'] = process.argv.slice(2);
if (!directory) {
  console.error('usage: node bench.js MODEL_DIR [RUNS]');
  process.exit(2);
}
const encoder = await Encoder.load(join(directory, 'model.onnx'));

for (const [batch, length] of CASES) {
  const size = batch * length;
  const inputs = {
    shape: [batch, length],
    input_word_ids: Int32Array.from({ length: size }, (_, i) => 5 + (i * 31) % 90),
    input_mask: new Int32Array(size).fill(1),
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
  console.log(JSON.stringify({ runtime, batch, length, ms, runs: times.length }));
}
