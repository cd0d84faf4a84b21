// What needs a model: ids, vectors and the whole job, against what Python gave for the same.
// ZOO_NODE_FIXTURE is a directory that tests/runtimes/test_node.py fills.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { embed, loadModel } from '../lib/encoder.js';

const fixture = process.env.ZOO_NODE_FIXTURE;
const options = { skip: fixture ? false : 'ZOO_NODE_FIXTURE is not set: python -m pytest tests/runtimes/test_node.py' };
const run = async (script, ...args) => {
  const path = fileURLToPath(new URL(`../${script}`, import.meta.url));
  return (await promisify(execFile)(process.execPath, [path, ...args])).stdout;
};
const read = async (name) => JSON.parse(await readFile(join(fixture, name), 'utf8'));

function assertClose(found, expected) {
  assert.equal(found.length, expected.length);
  const difference = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i])), 0);
  assert.ok(difference <= 1e-5, `differs by ${difference}`);
}

test("ids are those of Python's tokenizer on hard texts", options, async () => {
  const { tokenizer } = await loadModel(fixture);
  const { texts } = await read('hard_texts.json');
  assert.ok(texts.length > 30);
  for (const { text, ids } of texts) assert.deepEqual(tokenizer.row(text).ids, ids, text);
});

test('pairs are packed, trimmed and padded as in Python', options, async () => {
  const { tokenizer } = await loadModel(fixture);
  const { pairs, length, packed } = await read('expected.json');
  const { shape, ...arrays } = tokenizer.encode(pairs, length);
  assert.deepEqual(shape, [pairs.length, length]);
  assert.throws(() => tokenizer.row(['你', '好'], 2), /2 tokens do not hold/);
  for (const [name, array] of Object.entries(arrays)) assert.deepEqual([...array], packed[name].flat(), name);
});

test("outputs are TensorFlow's", options, async () => {
  const { encoder } = await loadModel(fixture);
  const { packed, outputs, pairs, length } = await read('expected.json');
  const inputs = Object.entries(packed).map(([name, rows]) => [name, Int32Array.from(rows.flat())]);
  const found = await encoder.run({ shape: [pairs.length, length], ...Object.fromEntries(inputs) });
  for (const [name, values] of Object.entries(outputs)) assertClose(found[name].data, values.flat(Infinity));
});

test('vectors do not depend on the batches they were computed in', options, async () => {
  const model = await loadModel(fixture);
  const { pairs, length, outputs } = await read('expected.json');
  const vectors = await embed(model, pairs, { batchSize: 3, maxLength: length, pooling: 'pooled' });
  vectors.forEach((vector, i) => assertClose(vector, outputs.pooled_output[i]));
  for (const pooling of ['mean', 'first']) {
    const [alone] = await embed(model, pairs.slice(-1), { maxLength: length, pooling });
    assertClose((await embed(model, pairs, { maxLength: length, pooling })).at(-1), alone);
  }
});

test('the job: a head learns over the frozen encoder', options, async () => {
  const { train, test: tested, before, after, reloaded } = JSON.parse(await run('classify.js', fixture));
  assert.ok(train > 500 && tested > 100);
  assert.ok(before < 0.7 && after >= 0.9, `${before} -> ${after}`);
  assert.equal(reloaded, after);
});

test('the benchmark prints a line of JSON for each case', options, async () => {
  const lines = (await run('bench.js', fixture, '2')).trimEnd().split('\n').map(JSON.parse);
  const cases = lines.map(({ kind, batch, length }) => [kind, batch, length]);
  assert.deepEqual(cases, [['dense', 32, 128], ['dense', 1, 64], ['real', 32, 128]]);
  assert.ok(lines.every(({ ms, runtime }) => ms > 0 && runtime.includes('onnxruntime')));
});
