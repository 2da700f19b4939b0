// wgrad for web pages: sets and trainers, which live in a worker. index.d.ts has the types, and docs/browser.md examples.

/** An error of wgrad: its message says what was wrong and what would be right. */
export class WgradError extends Error {
  name = 'WgradError';
}

let worker;
let calls = 0;
const waiting = new Map();

function fail(words) {
  for (const { reject } of waiting.values()) reject(new WgradError(words));
  waiting.clear();
  worker?.terminate();
  worker = undefined;
}

function started() {
  if (worker) return worker;
  // Its name is the number that its objects count from: a call makes at most two.
  const own = new Worker(new URL('worker.js', import.meta.url), { type: 'module', name: String(2 * calls) });
  own.onmessage = ({ data: { id, result, error, isOver, event } }) => {
    if (own !== worker) return;
    if (isOver) return fail(error);
    const call = waiting.get(id);
    if (event) return call?.onEvent?.(event);
    waiting.delete(id);
    if (error === undefined) call?.resolve(result);
    // A file that has no path is called - there.
    else call?.reject(new WgradError(error.replace(/^-: /, '')));
  };
  own.onerror = ({ message }) => own === worker && fail(`the worker of wgrad did not start: ${message || 'its files cannot be loaded'}`);
  worker = own;
  return own;
}

const ask = (call, args, onEvent) =>
  new Promise((resolve, reject) => {
    const id = ++calls;
    waiting.set(id, { resolve, reject, onEvent });
    try {
      started().postMessage({ id, call, args });
    } catch (error) {
      waiting.delete(id);
      reject(new WgradError(`${call}: ${error.message}`));
    }
  });

// Numbers go to the worker as they are: a whole one there would be made of any other in silence.
function whole(name, value) {
  if (value !== undefined && !(Number.isInteger(value) && value >= 0 && value < 2 ** 32)) {
    throw new WgradError(`${name} is ${value}: it must be a whole number, 0 or more`);
  }
  return value;
}

function finite(value) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new WgradError(`a number of the options is ${value}: it must be finite`);
  if (value && typeof value === 'object') Object.values(value).forEach(finite);
  return value;
}

// What nobody holds any more is let go in the worker too.
const forgotten = new FinalizationRegistry((at) => worker && ask('free', [at]).catch(() => {}));

async function bytesOf(source) {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (!(source instanceof Blob)) throw new WgradError('a file must be a Blob, an ArrayBuffer or a Uint8Array');
  try {
    return new Uint8Array(await source.arrayBuffer());
  } catch (error) {
    throw new WgradError(`${source.name ?? 'the file'} cannot be read: ${error.message}`);
  }
}

/** Rows with their targets. */
export class Dataset {
  #at;

  constructor({ at, about }) {
    this.#at = at;
    Object.assign(this, about);
    Object.freeze(this);
    forgotten.register(this, at);
  }

  static async idx(images, labels) {
    return new Dataset(await ask('idx', [await bytesOf(images), await bytesOf(labels)]));
  }

  static async table(source, options = {}) {
    const bytes = typeof source === 'string' ? new TextEncoder().encode(source) : await bytesOf(source);
    // The module takes the number as a word.
    const { fill } = options;
    return new Dataset(await ask('table', [bytes, fill === undefined ? options : { ...options, fill: String(fill) }]));
  }

  static async text(text, context) {
    return new Dataset(await ask('text', [String(text), whole('context', context)]));
  }

  static async rows(features, width, labels) {
    const bytes = features instanceof Uint8ClampedArray ? new Uint8Array(features.buffer, features.byteOffset, features.length) : features;
    if (!(bytes instanceof Uint8Array || bytes instanceof Float32Array)) {
      throw new WgradError('features must be a Float32Array, or bytes in a Uint8Array or Uint8ClampedArray');
    }
    if (labels !== undefined && !(labels instanceof Uint32Array)) throw new WgradError('labels must be a Uint32Array, a number of a class for each row');
    return new Dataset(await ask('numbers', [bytes, whole('width', width), labels]));
  }

  static at(set) {
    if (!(set instanceof Dataset)) throw new WgradError('this takes a Dataset: Dataset.rows, table, idx and text make one');
    return set.#at;
  }

  async split(fraction, seed = 0) {
    return (await ask('split', [this.#at, fraction, whole('seed', seed)])).map((part) => new Dataset(part));
  }

  async standardized() {
    return new Dataset(await ask('standardized', [this.#at]));
  }

  async slice(from, to) {
    return new Dataset(await ask('slice', [this.#at, whole('from', from), whole('to', to)]));
  }

  features() {
    return ask('features', [this.#at]);
  }

  labels() {
    return ask('labels', [this.#at]);
  }
}

/** A network that is trained on the GPU of this browser. */
export class Trainer {
  #at;

  constructor(at) {
    this.#at = at;
    forgotten.register(this, at);
  }

  static async create(options) {
    if (!globalThis.navigator?.gpu) {
      throw new WgradError(
        globalThis.isSecureContext === false
          ? 'browsers have WebGPU only on pages from https:// or localhost: load this page from there'
          : 'this browser has no WebGPU, or it is off: use a current Chrome, Edge, Safari or Firefox, with hardware acceleration on',
      );
    }
    if (!Array.isArray(options?.layers)) throw new WgradError('a trainer takes { layers: [...] }, the last of them with an output for each class');
    return new Trainer(await ask('create', [finite(options)]));
  }

  async *fit(train, { validation = null, onProgress, onStart, ...others } = {}) {
    const [other] = Object.keys(others);
    if (other) throw new WgradError(`fit has no option "${other}": it has validation, onProgress and onStart`);
    const epochs = [];
    let wake = () => {};
    let isOver = false;
    let failure;
    const onEvent = ({ event, ...values }) => {
      if (event === 'start') onStart?.(values.about);
      else if (event === 'progress') onProgress?.(values);
      else epochs.push(values);
      wake();
    };
    const sets = [Dataset.at(train), validation && Dataset.at(validation)];
    const done = ask('fit', [this.#at, ...sets], onEvent)
      .catch((error) => {
        failure = error;
      })
      .finally(() => {
        isOver = true;
        wake();
      });
    try {
      for (;;) {
        while (epochs.length) yield epochs.shift();
        if (isOver) break;
        await new Promise((resolve) => {
          wake = resolve;
        });
      }
      if (failure) throw failure;
    } finally {
      // A loop that is left ends the training with it.
      if (!isOver) {
        await this.stop();
        await done;
      }
    }
  }

  stop() {
    return ask('stop', [this.#at]);
  }

  async classify(rows) {
    const both = await ask('classify', [this.#at, Dataset.at(rows)]);
    const count = both.length / 2;
    return { classes: Uint32Array.from(both.subarray(0, count)), probabilities: both.slice(count) };
  }

  async predict(rows) {
    return ask('predict', [this.#at, Dataset.at(rows)]);
  }

  async generate(prompt, { count = 100, temperature = 1, topK, seed = 0 } = {}) {
    return ask('generate', [this.#at, String(prompt), whole('count', count), temperature, whole('topK', topK), whole('seed', seed)]);
  }

  model() {
    return ask('model', [this.#at]);
  }

  about() {
    return ask('about', [this.#at]);
  }
}

/** The tensors of a safetensors file, by name. */
export function tensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  delete header.__metadata__;
  const values = ([from, to]) => new Float32Array(bytes.slice(8 + length + from, 8 + length + to).buffer);
  const tensor = ({ shape, data_offsets }) => ({ shape, values: values(data_offsets) });
  return Object.fromEntries(Object.entries(header).map(([name, about]) => [name, tensor(about)]));
}
