// The page: what is chosen, what is shown. The network and the sets are in the package's worker.

import { Dataset, Trainer, tensors } from './wgrad/index.js';

const $ = (id) => document.getElementById(id);
const say = (words, isWrong = false) => {
  $('words').textContent = words;
  $('words').classList.toggle('wrong', isWrong);
};
const percent = (share) => (share === null || share === undefined ? '–' : `${(100 * share).toFixed(1)} %`);
const bytes = async (name) => {
  const answer = await fetch(`data/${name}`);
  if (!answer.ok) throw new Error(`data/${name} is not beside the page (${answer.status}): web/build puts it there`);
  return new Uint8Array(await answer.arrayBuffer());
};

// What there is to choose from: the data of a network, its layers for them, and how it is trained.
const NETWORKS = {
  dense: { data: 'mnist', layers: () => [{ dense: 256, activation: 'relu' }, { dense: 10 }] },
  convnet: {
    data: 'mnist',
    layers: () => [
      { conv: 32, kernel: 3, activation: 'relu' },
      { max_pool: 2 },
      { conv: 64, kernel: 3, activation: 'relu' },
      { max_pool: 2 },
      { flatten: true },
      { dropout: 0.5 },
      { dense: 10 },
    ],
    options: { initializer: 'he-uniform' },
  },
  gpt: {
    data: 'text',
    layers: ({ vocabulary }) => [
      { embedding: 64, vocabulary },
      { positions: 64 },
      {
        repeat: 2,
        layers: [
          { residual: [{ layer_norm: true }, { attention: 4, causal: true }] },
          { residual: [{ layer_norm: true }, { dense: 256, activation: 'gelu' }, { dense: 64 }] },
        ],
      },
      { layer_norm: true },
      { dense: vocabulary },
    ],
    options: { initializer: 'normal:0.02', clipGradNorm: 1 },
  },
  table: { data: 'table', layers: ({ classes }) => [{ dense: 64, activation: 'relu' }, { dense: 64, activation: 'relu' }, { dense: classes }] },
};

const known = {};
const SOURCES = {
  async mnist() {
    say('Loading MNIST, 11 MB …');
    const names = ['train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz', 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'];
    const [images, labels, testImages, testLabels] = await Promise.all(names.map(bytes));
    return [await Dataset.idx(images, labels), await Dataset.idx(testImages, testLabels)];
  },
  async text() {
    say("Loading Shakespeare's plays …");
    const packed = await bytes('plays.txt.gz');
    // A server may have unpacked it.
    const isPacked = packed[0] === 0x1f && packed[1] === 0x8b;
    const stream = new Blob([packed]).stream();
    const text = await new Response(isPacked ? stream.pipeThrough(new DecompressionStream('gzip')) : stream).text();
    return (await Dataset.text(text, 64)).split(0.1);
  },
  async table() {
    if (!table.file) throw new Error('there is no table yet: drop a CSV above, or choose one');
    say(`Reading ${table.file.name} …`);
    const set = await described(table.file, { label: $('label').value, ...filling() });
    // Numbers have no labels of classes.
    table.isOfNumbers = (await set.labels()).length === 0;
    if (set.classes === 1 && !table.isOfNumbers) throw new Error(`the column ${$('label').value} has one value only: there is nothing to learn`);
    const [train, validation] = await set.split(0.2);
    return [await train.standardized(), validation];
  },
};

let run = null;
let isStopped = false;
const chosen = () => document.querySelector('[name=network]:checked').value;

async function start() {
  const kind = chosen();
  const { data, layers, options } = NETWORKS[kind];
  running(true);
  isStopped = false;
  try {
    const [train, validation] = data === 'table' ? await SOURCES.table() : (known[data] ??= await SOURCES[data]());
    // What was there before is kept until something else is trained.
    clearFigures();
    run = null;
    for (const id of ['save', 'write']) $(id).disabled = true;
    const text = data === 'text';
    const steps = text ? 150 * Number($('epochs').value) : Infinity;
    say('Opening the GPU …');
    const trainer = await Trainer.create({
      layers: layers(train),
      ...(data === 'table' && table.isOfNumbers ? { loss: 'mse' } : {}),
      optimizer: { kind: text ? 'adamw' : 'adam', lr: Number($('rate').value) },
      batchSize: Number($('batch').value),
      // An epoch of a text visits each of its places: some hundred steps show more.
      ...(text ? { steps } : { epochs: Number($('epochs').value) }),
      ...options,
    });
    run = { trainer, kind, train, steps, validation: text ? await validation.slice(0, 64) : validation };
    if (isStopped) return say('Stopped.');
    say('The driver compiles the kernels …');
    const began = performance.now();
    for await (const epoch of trainer.fit(train, { validation: run.validation, onStart: showDevice, onProgress: showProgress })) {
      showEpoch(epoch);
      await showModel();
    }
    await showModel();
    say(`${isStopped ? 'Stopped after' : 'Trained in'} ${((performance.now() - began) / 1e3).toFixed(0)} s.`);
  } catch (error) {
    // Sets may have gone with the worker.
    delete known[data];
    say(error.message, true);
  } finally {
    running(false);
  }
}

function running(is) {
  $('start').disabled = is;
  $('stop').disabled = !is;
  for (const input of $('choice').querySelectorAll('input, select')) input.disabled = is;
}

// Figures

let losses = [];

function clearFigures() {
  losses = [];
  for (const id of ['epoch', 'loss', 'accuracy', 'speed']) $(id).textContent = '–';
  $('progress').value = 0;
  $('line').setAttribute('points', '');
  $('epochs-table').hidden = true;
  $('epochs-table').tBodies[0].replaceChildren();
  $('written').textContent = '';
  for (const id of ['mistakes', 'filters']) $(id).hidden = true;
}

function showDevice({ adapter, kind, network, parameters }) {
  say('Training …');
  const name = kind === 'software' ? 'this machine, without a GPU' : adapter;
  $('device').textContent = `${network}: ${parameters.toLocaleString('en')} weights, on ${name}`;
}

function showProgress({ epoch, step, steps, loss, samplesPerSecond }) {
  $('progress').value = step / Math.min(steps, run.steps);
  $('epoch').textContent = `${epoch}`;
  $('loss').textContent = loss.toFixed(3);
  $('speed').textContent = Math.round(samplesPerSecond).toLocaleString('en');
  losses.push(loss);
  drawCurve();
}

function drawCurve() {
  // At most 300 points: the mean of as many losses each.
  const each = Math.ceil(losses.length / 300);
  const means = [];
  for (let at = 0; at < losses.length; at += each) {
    const part = losses.slice(at, at + each);
    means.push(part.reduce((sum, loss) => sum + loss, 0) / part.length);
  }
  const most = Math.max(...means, 1e-9);
  const point = (loss, at) => `${((600 * at) / Math.max(means.length - 1, 1)).toFixed(1)},${(196 - (190 * loss) / most).toFixed(1)}`;
  $('line').setAttribute('points', means.map(point).join(' '));
}

function showEpoch({ epoch, loss, validationLoss, validationAccuracy, seconds }) {
  $('accuracy').textContent = percent(validationAccuracy);
  const row = $('epochs-table').tBodies[0].insertRow();
  for (const cell of [epoch, loss.toFixed(4), validationLoss?.toFixed(4) ?? '–', percent(validationAccuracy), `${seconds.toFixed(1)} s`]) {
    row.insertCell().textContent = cell;
  }
  $('epochs-table').hidden = false;
}

// What the model knows

async function showModel() {
  $('save').disabled = false;
  const { kind } = run;
  if (kind === 'gpt') return write();
  if (kind === 'table') return;
  await Promise.all([showMistakes(), showFilters(), read()]);
}

async function showMistakes() {
  const { trainer, validation } = run;
  const seen = (run.seen ??= await validation.slice(0, 1000));
  const [{ classes, probabilities }, labels, pixels] = [await trainer.classify(seen), await seen.labels(), (run.pixels ??= await seen.features())];
  const wrong = [...classes.keys()].filter((row) => classes[row] !== labels[row]);
  // The surest first.
  wrong.sort((a, b) => probabilities[b] - probabilities[a]);
  const pictures = wrong.slice(0, 18).map((row) => picture(pixels.subarray(784 * row, 784 * (row + 1)), 28, 28, `${labels[row]}, read as ${classes[row]}`));
  $('mistakes-pictures').replaceChildren(...pictures);
  $('mistakes-words').textContent = `${wrong.length} of the first ${labels.length} test images; the ones that it is surest of come first.`;
  $('mistakes').hidden = false;
}

async function showFilters() {
  const weights = tensors(await run.trainer.model())['0.weight'];
  const [outputs] = weights.shape;
  const size = weights.values.length / outputs;
  const side = Math.sqrt(size);
  const count = Math.min(outputs, 32);
  const filter = (at) => {
    const values = weights.values.subarray(size * at, size * (at + 1));
    const most = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-9);
    return picture(values.map((value) => 0.5 + value / (2 * most)), side, side, '');
  };
  $('filters-pictures').replaceChildren(...Array.from({ length: count }, (_, at) => filter(at)));
  $('filters').hidden = false;
}

function picture(values, width, height, words) {
  const figure = document.createElement('figure');
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  values.forEach((value, at) => image.data.set([255 * value, 255 * value, 255 * value, 255], 4 * at));
  canvas.getContext('2d').putImageData(image, 0, 0);
  canvas.setAttribute('aria-hidden', 'true');
  figure.append(canvas);
  if (words) figure.append(Object.assign(document.createElement('figcaption'), { textContent: words }));
  return figure;
}

async function write() {
  $('write').disabled = false;
  try {
    const prompt = $('prompt').value;
    $('written').textContent = prompt + (await run.trainer.generate(prompt, { count: 200, temperature: 0.8, topK: 40 }));
  } catch (error) {
    $('written').textContent = error.message;
  }
}

// Drawing

const canvas = $('canvas');
const pen = canvas.getContext('2d', { willReadFrequently: true });
Object.assign(pen, { lineWidth: 22, lineCap: 'round', lineJoin: 'round', strokeStyle: '#fff' });
const at = { x: 140, y: 140, isDown: false };
const stroke = (x, y) => {
  pen.beginPath();
  pen.moveTo(at.x, at.y);
  pen.lineTo(x, y);
  pen.stroke();
};
const place = ({ clientX, clientY }) => {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return [(280 * (clientX - left)) / width, (280 * (clientY - top)) / height];
};
canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  [at.x, at.y] = place(event);
  at.isDown = true;
  stroke(at.x, at.y);
};
canvas.onpointermove = (event) => {
  if (!at.isDown || !event.buttons) return;
  const [x, y] = place(event);
  stroke(x, y);
  Object.assign(at, { x, y });
};
canvas.onpointercancel = canvas.onpointerup = () => {
  at.isDown = false;
  read();
};
canvas.onkeydown = (event) => {
  const moves = { ArrowLeft: [-14, 0], ArrowRight: [14, 0], ArrowUp: [0, -14], ArrowDown: [0, 14] };
  if (event.key === ' ') {
    at.isDown = !at.isDown;
    if (at.isDown) stroke(at.x, at.y);
    else read();
  } else if (moves[event.key]) {
    const [x, y] = [at.x + moves[event.key][0], at.y + moves[event.key][1]].map((value) => Math.min(270, Math.max(10, value)));
    if (at.isDown) stroke(x, y);
    Object.assign(at, { x, y });
  } else return;
  showPen();
  event.preventDefault();
};

// Where the keyboard's pen is.
function showPen() {
  $('pen').hidden = document.activeElement !== canvas;
  $('pen').style.translate = `${(100 * at.x) / 280}cqw ${(100 * at.y) / 280}cqh`;
  $('pen').classList.toggle('down', at.isDown);
}
canvas.onfocus = showPen;
canvas.onblur = () => {
  at.isDown = false;
  showPen();
};

function wipe() {
  pen.clearRect(0, 0, 280, 280);
  $('digit').textContent = '?';
  $('probabilities').replaceChildren();
}

// The drawing as MNIST has its digits: 20 × 20 pixels, the middle of its ink in the middle of 28 × 28.
function drawn() {
  const { data } = pen.getImageData(0, 0, 280, 280);
  const ink = (x, y) => data[4 * (280 * y + x) + 3];
  let [left, right, top, bottom, sum, middleX, middleY] = [280, -1, 280, -1, 0, 0, 0];
  for (let y = 0; y < 280; y++) {
    for (let x = 0; x < 280; x++) {
      const amount = ink(x, y);
      if (!amount) continue;
      [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
      [sum, middleX, middleY] = [sum + amount, middleX + amount * x, middleY + amount * y];
    }
  }
  if (!sum) return null;
  const scale = 20 / Math.max(right - left + 1, bottom - top + 1);
  const small = new OffscreenCanvas(28, 28).getContext('2d');
  Object.assign(small, { imageSmoothingQuality: 'high' });
  small.setTransform(scale, 0, 0, scale, 14 - (scale * middleX) / sum, 14 - (scale * middleY) / sum);
  small.drawImage(canvas, 0, 0);
  const pixels = small.getImageData(0, 0, 28, 28).data;
  return Uint8Array.from({ length: 784 }, (_, pixel) => pixels[4 * pixel + 3]);
}

async function read() {
  const pixels = drawn();
  if (!pixels || !run || run.validation.width !== 784) return;
  try {
    const probabilities = await run.trainer.predict(await Dataset.rows(pixels, 784));
    const best = probabilities.indexOf(Math.max(...probabilities));
    $('digit').textContent = best;
    const line = (probability, digit) => {
      const item = document.createElement('li');
      const meter = Object.assign(document.createElement('meter'), { min: 0, max: 1, value: probability });
      meter.setAttribute('aria-hidden', 'true');
      item.append(`${digit} `, meter, ` ${percent(probability)}`);
      return item;
    };
    $('probabilities').replaceChildren(...[...probabilities].map(line));
  } catch (error) {
    say(error.message, true);
  }
}

// Tables

const table = { file: null, isOfNumbers: false };

// The file that was dropped last.
let latest = null;

const filling = () => ($('fill').value ? { fill: $('fill').value } : {});

// A column of numbers with fractions is none of classes: then they are learned as numbers. Where the file is wrong otherwise, the first error says how.
const described = (file, options) =>
  Dataset.table(file, options).catch((error) =>
    Dataset.table(file, { ...options, regression: true }).catch(() => {
      throw error;
    }),
  );

async function take(file) {
  if (!file || $('start').disabled) return;
  latest = file;
  table.file = null;
  $('label-of').hidden = true;
  $('about-table').textContent = `Reading ${file.name} …`;
  $('about-table').classList.remove('wrong');
  try {
    const { rows, columns, notes } = await described(file, filling());
    if (file !== latest) return;
    table.file = file;
    if ($('words').classList.contains('wrong')) say('');
    $('label').replaceChildren(...columns.map((name) => new Option(name)));
    $('label').value = columns.at(-1);
    $('label-of').hidden = false;
    $('about-table').textContent = [`${file.name}: ${rows.toLocaleString('en')} rows, ${columns.length} columns.`, ...notes].join(' ');
  } catch (error) {
    if (file !== latest) return;
    $('about-table').textContent = `${file.name}: ${error.message}`;
    $('about-table').classList.add('wrong');
  }
}

const drop = $('table');
drop.ondragover = (event) => {
  event.preventDefault();
  drop.classList.add('over');
};
drop.ondragleave = () => drop.classList.remove('over');
drop.ondrop = (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  take(event.dataTransfer.files[0]);
};
$('file').onchange = ({ target }) => take(target.files[0]);
$('fill').onchange = () => take(latest);

// The form

function shown() {
  const kind = chosen();
  drop.hidden = kind !== 'table';
  $('text').hidden = kind !== 'gpt';
  $('draw').hidden = NETWORKS[kind].data !== 'mnist';
  for (const id of ['mistakes', 'filters']) $(id).hidden ||= NETWORKS[kind].data !== 'mnist';
}

for (const input of document.getElementsByName('network')) input.onchange = shown;
$('choice').onsubmit = (event) => {
  event.preventDefault();
  start();
};
$('stop').onclick = () => {
  isStopped = true;
  say('Stopping …');
  run?.trainer.stop().catch((error) => say(error.message, true));
};
$('clear').onclick = wipe;
$('write').onclick = write;
$('save').onclick = async () => {
  try {
    const { trainer, kind } = run;
    const url = URL.createObjectURL(new Blob([await trainer.model()], { type: 'application/octet-stream' }));
    Object.assign(document.createElement('a'), { href: url, download: `${kind}.safetensors` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1e4);
  } catch (error) {
    say(error.message, true);
  }
};
shown();
function refuse(words) {
  say(words, true);
  $('start').disabled = true;
}
if (!navigator.gpu) {
  refuse(
    isSecureContext
      ? 'This browser has no WebGPU, or it is off. Use a current Chrome, Edge, Safari or Firefox, with hardware acceleration on.'
      : 'Browsers have WebGPU only on pages from https:// or localhost: load this page from there.',
  );
} else if (!(await navigator.gpu.requestAdapter())) {
  refuse('This browser has WebGPU, and finds no graphics card that it may use. Turn on hardware acceleration in its settings, or update the driver of the graphics card.');
}
