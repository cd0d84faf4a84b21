// Runs a graph model in Node: node tfjs_run.js MODEL_DIR ASKED.json FOUND.json. Exit code 3: no @tensorflow/tfjs.
'use strict'

const fs = require('fs')
const path = require('path')
const { createRequire } = require('module')

const [directory, asked, found] = process.argv.slice(2)

function loadTfjs () {
  try {
    return createRequire(path.join(process.cwd(), 'here.js'))('@tensorflow/tfjs')
  } catch {
    process.exit(3)
  }
}

function fromDirectory () {
  const model = JSON.parse(fs.readFileSync(path.join(directory, 'model.json')))
  const [{ paths, weights }] = model.weightsManifest
  const data = Buffer.concat(paths.map(name => fs.readFileSync(path.join(directory, name))))
  return {
    load: async () => ({
      modelTopology: model.modelTopology,
      signature: model.signature,
      userDefinedMetadata: model.userDefinedMetadata,
      weightSpecs: weights,
      weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)
    })
  }
}

async function main () {
  const tf = loadTfjs()
  await tf.setBackend('cpu')
  let started = performance.now()
  const model = await tf.loadGraphModel(fromDirectory())
  const load = performance.now() - started
  const answers = []
  const times = []
  for (const batch of JSON.parse(fs.readFileSync(asked))) {
    const inputs = {}
    for (const [name, { shape, data }] of Object.entries(batch)) inputs[name] = tf.tensor(data, shape, 'int32')
    started = performance.now()
    const outputs = await model.predictAsync(inputs)
    const answer = {}
    for (const [name, tensor] of Object.entries(outputs)) {
      answer[name] = { shape: tensor.shape, dtype: tensor.dtype, data: Array.from(tensor.dataSync()) }
    }
    times.push(performance.now() - started)
    answers.push(answer)
    tf.dispose([inputs, outputs])
  }
  fs.writeFileSync(found, JSON.stringify({ answers, load, times }))
}

main().catch(error => { console.error(error.stack); process.exit(1) })
