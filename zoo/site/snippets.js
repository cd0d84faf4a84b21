// Code that uses a model. Its addresses are those of the place that this page was opened from.
"use strict";

/** Return the place of this page: is it `http`, the address of registry.json, and `address(url)` of a URL in it. */
function placeOf(location) {
  const base = new URL(".", location.href);
  const http = base.protocol === "http:" || base.protocol === "https:";
  const address = (url) => {
    const found = new URL(url, base);
    if (found.protocol !== "file:") return found.href;
    return decodeURIComponent(found.pathname).replace(/^\/([A-Za-z]:)/, "$1");
  };
  return { http, address, registry: address("registry.json") };
}

const python = (text) => `'${text.replace(/[\\']/g, "\\$&").replace(/\n/g, "\\n")}'`;
const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);

/** Return [id, label, language, text] of each way to use a built model. */
function snippetsOf(name, data, place) {
  const model = modelOf(name, data, place);
  return [
    ["hub", "hub.load", "python", hubLoad(model)],
    ...(model.takes === "ids" ? [["hub-keras", "hub.KerasLayer", "python", hubKeras(model)]] : []),
    ...(model.takes === "ids" ? [["zoo-keras", "zoo.KerasLayer", "python", zooKeras(model)]] : []),
    ["zoo", "zoo.load", "python", zooLoad(model)],
    ["cli", { en: "command line", zh: "命令行" }, "shell", commandLine(model)],
    ["offline", { en: "offline", zh: "离线" }, "shell", offline(model)],
  ];
}

function modelOf(name, data, place) {
  const fact = data.facts.find((each) => each.name === name);
  const entry = data.registry.models[name];
  const built = (other) => {
    const archive = other && data.registry.models[other] && data.registry.models[other].archive;
    return archive ? { name: other, url: place.address(archive.urls[0]) } : null;
  };
  const own = built(name);
  return { name, kind: entry.kind, ...data.kinds[entry.kind], url: own.url, sha256: entry.archive.sha256, width: entry.hidden_size || "H",
    tokenizer: built(fact.tokenizer), registry: place.registry, http: /^https?:/.test(own.url) };
}

const example = (model) => (model.tokenizer ? "tokenizer(['你好'], special_tokens=True)" : "[[1, 2, 3]]");

/** Return the lines that unpack archives which are files: hub.load takes only URLs and unpacked directories. */
function unpacked(archives) {
  const lines = archives.map((each) => `    (${python(each.name)}, ${python(each.url)}),`);
  return ["import tarfile", "", "for name, archive in [", ...lines, "]:", "    with tarfile.open(archive) as tar:",
    "        tar.extractall(name, filter='data')  # hub.load takes URLs and unpacked directories", ""];
}

function hubLoad(model) {
  const needed = [model, ...(model.tokenizer ? [model.tokenizer] : [])];
  const at = (each) => python(model.http ? each.url : each.name);
  const imports = ["import tensorflow_hub as hub"];
  if (model.tokenizer || model.needs.includes("tensorflow_text")) imports.push("import tensorflow_text  # has the tokenizer's operations");
  const head = model.http ? [...imports, ""] : [...imports, ...unpacked(needed)];
  if (model.takes === "text") {
    return [...head, `${model.kind} = hub.load(${at(model)})`, `${model.kind}(['你好'])  # ${model.gives}`].join("\n");
  }
  return [...head, `encoder = hub.load(${at(model)})`,
    ...(model.tokenizer ? [`tokenizer = hub.load(${at(model.tokenizer)})`] : []),
    `out = encoder(${example(model)})`, `out['pooled_output']  # (1, ${model.width})`].join("\n");
}

function hubKeras(model) {
  const head = ["import tensorflow_hub as hub", "import tf_keras  # hub.KerasLayer is a layer of Keras 2"];
  return [...head, ...(model.http ? [""] : unpacked([model])), "ids = tf_keras.Input([None], dtype='int32')",
    `encoder = hub.KerasLayer(${python(model.http ? model.url : model.name)}, trainable=True, output_key='pooled_output')`,
    "model = tf_keras.Model(ids, tf_keras.layers.Dense(2)(encoder(ids)))"].join("\n");
}

function zooKeras(model) {
  const head = ["import keras", "import zoo", "", `registry = ${python(model.registry)}`];
  const encoder = `encoder = zoo.KerasLayer(${python(model.name)}, trainable=True, output_key='pooled_output', registry=registry)`;
  if (!model.tokenizer) {
    return [...head, encoder, "ids = keras.Input([None], dtype='int32')",
      "model = keras.Model(ids, keras.layers.Dense(2)(encoder(ids)))"].join("\n");
  }
  return [...head, "preprocess = zoo.KerasLayer(",
    `    ${python(model.tokenizer.name)}, endpoint='preprocess', arguments={'seq_length': 32}, registry=registry`, ")",
    encoder, "texts = keras.Input([], dtype='string')",
    "model = keras.Model(texts, keras.layers.Dense(2)(encoder(preprocess(texts))))"].join("\n");
}

function zooLoad(model) {
  const load = (name) => `zoo.load(${python(name)}, registry=registry)`;
  const head = ["import zoo", "", `registry = ${python(model.registry)}`];
  if (model.takes === "text") return [...head, `${model.kind} = ${load(model.name)}`, `${model.kind}(['你好'])`].join("\n");
  return [...head, `encoder = ${load(model.name)}`, ...(model.tokenizer ? [`tokenizer = ${load(model.tokenizer.name)}`] : []),
    `out = encoder(${example(model)})`, `out['pooled_output']  # (1, ${model.width})`].join("\n");
}

function commandLine(model) {
  return [`export ZOO_REGISTRY=${shell(model.registry)}`, `zoo fetch ${model.name}    # downloaded, checked, unpacked; prints the directory`,
    `zoo verify ${model.name}   # repeats its certificate here`].join("\n");
}

function offline(model) {
  const file = model.url.replace(/[?#].*/, "").split("/").pop();
  const get = model.http ? `curl -fLO ${shell(model.url)}` : `cp ${shell(model.url)} .`;
  const check = model.sha256 ? [`echo ${shell(`${model.sha256}  ${file}`)} | sha256sum -c`] : [];
  const load = `import zoo; zoo.load_model(${python(file)})`;
  const quoted = /["$`\\!]/.test(load) ? shell(load) : `"${load}"`;
  const use = model.has_weights ? `python -c ${quoted}   # opens no socket` : `zoo verify ${shell(file)}`;
  return [get, ...check, use, "", "# or with its tokenizer, in one file to carry",
    `zoo bundle ${model.name} --out ${model.name}.tar --registry ${shell(model.registry)}`,
    `zoo install ${model.name}.tar   # there`].join("\n");
}
