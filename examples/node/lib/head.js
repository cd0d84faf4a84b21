// A dense head over vectors in plain TensorFlow.js: trained, saved, read again. It knows nothing of texts.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';

tf.env().set('IS_TEST', true); // no advice to use another package

export class Head {
  #model;

  constructor(model) {
    this.#model = model;
  }

  /** Returns an untrained head: vectors of `size` to `classes` probabilities. The seed makes it repeatable. */
  static create(size, classes, seed = 1) {
    const kernelInitializer = tf.initializers.glorotUniform({ seed });
    const layer = tf.layers.dense({ inputShape: [size], units: classes, activation: 'softmax', kernelInitializer });
    return new Head(tf.sequential({ layers: [layer] }));
  }

  /** Trains on vectors and their classes, integers from 0; in the order given, which is the same at every run. */
  async train(vectors, labels, { epochs = 40, batchSize = 32, learningRate = 0.01 } = {}) {
    const optimizer = tf.train.adam(learningRate);
    this.#model.compile({ optimizer, loss: 'sparseCategoricalCrossentropy' });
    const [x, y] = [matrix(vectors), tf.tensor1d(labels, 'float32')];
    await this.#model.fit(x, y, { epochs, batchSize, shuffle: false, verbose: 0 });
    tf.dispose([x, y]);
  }

  /** Returns the class of each vector. */
  predict(vectors) {
    return tf.tidy(() => Array.from(this.#model.predict(matrix(vectors)).argMax(1).dataSync()));
  }

  /** Returns the share of vectors that are given their own class. */
  accuracy(vectors, labels) {
    return this.predict(vectors).filter((found, i) => found === labels[i]).length / labels.length;
  }

  /** Writes model.json and weights.bin, which tf.loadLayersModel reads in a browser too. */
  async save(directory) {
    await mkdir(directory, { recursive: true });
    const handler = tf.io.withSaveHandler(async ({ weightData, weightSpecs, ...model }) => {
      const weightsManifest = [{ paths: ['weights.bin'], weights: weightSpecs }];
      await writeFile(join(directory, 'weights.bin'), Buffer.from(tf.io.CompositeArrayBuffer.join(weightData)));
      await writeFile(join(directory, 'model.json'), JSON.stringify({ ...model, weightsManifest }));
      return { modelArtifactsInfo: tf.io.getModelArtifactsInfoForJSON({ ...model, weightSpecs, weightData }) };
    });
    await this.#model.save(handler);
  }

  /** Reads what `save` wrote. */
  static async load(directory) {
    const { weightsManifest, ...model } = JSON.parse(await readFile(join(directory, 'model.json'), 'utf8'));
    const bytes = await readFile(join(directory, 'weights.bin'));
    const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const artifacts = { ...model, weightSpecs: weightsManifest[0].weights, weightData };
    return new Head(await tf.loadLayersModel(tf.io.fromMemory(artifacts)));
  }
}

function matrix(vectors) {
  const shape = [vectors.length, vectors[0].length];
  const values = new Float32Array(shape[0] * shape[1]);
  vectors.forEach((vector, row) => values.set(vector, row * shape[1]));
  return tf.tensor2d(values, shape);
}
