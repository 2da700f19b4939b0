// The worker: it has the module, the sets and the trainers, by number, and does what index.js asks for, a message each.

import init, { Rows, Trainer } from './wgrad_web.js';

// Firefox looks for what a device has done every 100 ms, and at each submission (bugzilla.mozilla.org/1870699). While something is awaited, empty ones make it look, or the loop
// would take chunks of steps for as long as that.
if (globalThis.GPUQueue && navigator.userAgent.includes('Firefox')) {
  const done = GPUQueue.prototype.onSubmittedWorkDone;
  const awaited = new WeakMap();
  GPUQueue.prototype.onSubmittedWorkDone = function () {
    const own = awaited.get(this) ?? { count: 0 };
    awaited.set(this, own);
    if (!own.count++) own.timer = setInterval(() => this.submit([]), 4);
    return done.call(this).finally(() => --own.count || clearInterval(own.timer));
  };
}

const held = new Map();
// Numbers go on from those of a worker before this one, so that what was of that one is none of this one's.
let last = Number(self.name);
const ready = init({ module_or_path: new URL('wgrad_web_bg.wasm', import.meta.url) });

const of = (at) => {
  const object = held.get(at);
  if (!object) throw new Error('this set or trainer was of a worker that has ended: make it again');
  return object;
};

// A trap of the module leaves it in the middle of something. In an async function it comes as an error that nobody awaits.
const over = (error) => {
  const words = `wgrad stopped (${error?.message ?? error}): there may not be enough memory for this; make the sets and the trainer again, with less data or a smaller network`;
  postMessage({ error: words, isOver: true });
};
addEventListener('error', (event) => {
  event.preventDefault();
  over(event.error ?? event.message);
});
addEventListener('unhandledrejection', (event) => {
  event.preventDefault();
  over(event.reason);
});

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
  split: (at, fraction, seed) => of(at).split(fraction, seed).map(described),
  standardized: (at) => described(of(at).standardized()),
  slice: (at, from, to) => described(of(at).slice(from, to)),
  features: (at) => of(at).features(),
  labels: (at) => of(at).labels(),
  create: async (options) => keep(await Trainer.create(JSON.stringify(options))),
  fit: (id, at, train, validation) => {
    const each = (message) => postMessage({ id, event: JSON.parse(message) });
    return validation === null ? of(at).fit(of(train), each) : of(at).fitJudged(of(train), of(validation), each);
  },
  stop: (at) => of(at).stop(),
  classify: (at, rows) => of(at).classify(of(rows)),
  predict: (at, rows) => of(at).predict(of(rows)),
  generate: (at, prompt, count, temperature, topK, seed) => of(at).generate(prompt, count, temperature, topK, seed),
  model: (at) => of(at).model(),
  about: (at) => JSON.parse(of(at).about()),
  free: (at) => {
    const object = held.get(at);
    held.delete(at);
    object?.stop?.();
    try {
      object?.free();
    } catch {
      // A call that is under way has it, and lets it go at its end.
    }
  },
};

onmessage = async ({ data: { id, call, args } }) => {
  try {
    await ready;
    const result = await (call === 'fit' ? calls.fit(id, ...args) : calls[call](...args));
    postMessage({ id, result });
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) over(error);
    else postMessage({ id, error: error?.message ?? String(error) });
  }
};
