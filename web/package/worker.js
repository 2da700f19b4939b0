// The worker: it has the module, the sets and the trainers, by number, and does what index.js asks for, a message each.

import init, { Rows, Trainer } from './wgrad_web.js';

const held = new Map();
let last = 0;
const ready = init({ module_or_path: new URL('wgrad_web_bg.wasm', import.meta.url) });

const keep = (object) => {
  held.set(++last, object);
  return last;
};

const described = (rows) => ({ at: keep(rows), about: JSON.parse(rows.about()) });

const calls = {
  idx: (images, labels) => described(Rows.ofIdx(images, labels)),
  table: (bytes, options) => described(Rows.ofTable(bytes, JSON.stringify(options))),
  text: (text, context) => described(Rows.ofText(text, context)),
  numbers: (features, width, labels) =>
    described(features instanceof Uint8Array ? Rows.ofBytes(features, width, labels) : Rows.ofNumbers(features, width, labels)),
  split: (at, fraction, seed) => held.get(at).split(fraction, seed).map(described),
  standardized: (at) => described(held.get(at).standardized()),
  slice: (at, from, to) => described(held.get(at).slice(from, to)),
  features: (at) => held.get(at).features(),
  labels: (at) => held.get(at).labels(),
  create: async (options) => keep(await Trainer.create(JSON.stringify(options))),
  // A set that is passed as an option would be taken: so a slice of all of it is.
  fit: (id, at, train, validation) => {
    const judged = validation === null ? undefined : held.get(validation).slice(0, 2 ** 32 - 1);
    return held.get(at).fit(held.get(train), judged, (message) => postMessage({ id, event: JSON.parse(message) }));
  },
  stop: (at) => held.get(at).stop(),
  classify: (at, rows) => held.get(at).classify(held.get(rows)),
  predict: (at, rows) => held.get(at).predict(held.get(rows)),
  generate: (at, prompt, count, temperature, topK, seed) => held.get(at).generate(prompt, count, temperature, topK, seed),
  model: (at) => held.get(at).model(),
  about: (at) => JSON.parse(held.get(at).about()),
  free: (at) => {
    held.get(at)?.free();
    held.delete(at);
  },
};

onmessage = async ({ data: { id, call, args } }) => {
  try {
    await ready;
    const result = await (call === 'fit' ? calls.fit(id, ...args) : calls[call](...args));
    postMessage({ id, result });
  } catch (error) {
    // A trap of the module leaves it as it was in the middle of something.
    const isOver = error instanceof WebAssembly.RuntimeError;
    const words = isOver
      ? `wgrad stopped (${error.message}): there may not be enough memory for this; load the page again, and use less data or a smaller network`
      : (error?.message ?? String(error));
    postMessage({ id, error: words, isOver });
  }
};
