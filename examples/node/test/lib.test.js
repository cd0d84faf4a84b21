// What needs no model: trimming, pairs, the head.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Head } from '../lib/head.js';
import { madeUpPairs, readPairs } from '../lib/pairs.js';
import { trim } from '../lib/tokenizer.js';

async function inDirectory(work) {
  const directory = await mkdtemp(join(tmpdir(), 'zoo-'));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test('a script says in one line what it lacks, and ends with 2', () => {
  const main = fileURLToPath(new URL('../classify.js', import.meta.url));
  for (const [given, words] of [
    [['nowhere'], /^Load model .*nowhere.* `zoo convert NAME --to onnx`/],
    [['nowhere', '--train', 'no.jsonl', '--test', 'no.jsonl'], /^ENOENT.*no\.jsonl/],
    [['nowhere', '--oops'], /^Unknown option '--oops'.*usage: /],
  ]) {
    const { status, stderr } = spawnSync(process.execPath, [main, ...given], { encoding: 'utf8' });
    assert.match(stderr, words);
    assert.deepEqual([status, stderr.trim().split('\n').length], [2, 1]);
  }
});

test('segments are trimmed in turn', () => {
  assert.deepEqual(trim([9], 4), [4]);
  assert.deepEqual(trim([5, 2], 6), [4, 2]);
  assert.deepEqual(trim([5, 5, 1], 8), [4, 3, 1]);
  assert.deepEqual(trim([3, 2], Infinity), [3, 2]);
  assert.deepEqual(trim([3, 2], 0), [0, 0]);
});

test('a head learns, and is the same once saved and read again', () =>
  inDirectory(async (directory) => {
    const labels = Array.from({ length: 120 }, (_, i) => i % 3);
    const vectors = labels.map((label, i) => Float32Array.from([0, 1, 2], (axis) => (axis === label) + (i % 7) / 9));
    const head = Head.create(3, 3);
    await head.train(vectors, labels, { epochs: 60 });
    assert.ok(head.accuracy(vectors, labels) > 0.95);
    await head.save(join(directory, 'head'));
    assert.deepEqual((await Head.load(join(directory, 'head'))).predict(vectors), head.predict(vectors));
  }));

test('made up pairs are the same for the same seed, and of both labels', () => {
  const rows = madeUpPairs(400);
  assert.deepEqual(rows, madeUpPairs(400));
  assert.notDeepEqual(rows, madeUpPairs(400, 2));
  const accepted = rows.filter((row) => row.label === '1').length;
  assert.ok(accepted > 150 && accepted < 250);
});

test('bad lines of a file are all named', () =>
  inDirectory(async (directory) => {
    const file = join(directory, 'pairs.jsonl');
    await writeFile(file, '{"sentence1": "你好", "sentence2": "好\u2028", "label": 1}\n');
    assert.deepEqual(await readPairs(file), { texts: [['你好', '好\u2028']], labels: ['1'] });
    await writeFile(file, '{"sentence1": "你好", "label": "1"}\nnonsense\n');
    await assert.rejects(readPairs(file), /pairs\.jsonl: line 1 lacks .*; line 2 is no JSON/);
  }));
