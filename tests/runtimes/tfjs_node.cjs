// What tfjs-node gives for strings, a list or rows of them: node tfjs_node.cjs MODULES DIRECTORY SIGNATURE INPUT STRINGS
const { createRequire } = require('node:module');
const { join } = require('node:path');

const [modules, directory, signature, input, strings] = process.argv.slice(2);
const tf = createRequire(join(modules, 'index.js'))('@tensorflow/tfjs-node');

(async () => {
  const model = await tf.node.loadSavedModel(directory, ['serve'], signature);
  const found = model.predict({ [input]: tf.tensor(JSON.parse(strings), undefined, 'string') });
  const nested = Object.entries(found).map(([name, tensor]) => [name, tensor.arraySync()]);
  console.log(JSON.stringify({ version: tf.backend().binding.TF_Version, ...Object.fromEntries(nested) }));
})();
