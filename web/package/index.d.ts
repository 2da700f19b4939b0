/** An error of wgrad: its message says what was wrong and what would be right. */
export class WgradError extends Error {}

/** A layer, as run.toml lists them: docs/networks.md and docs/tokens.md have all. */
export type Layer = { [word: string]: unknown };

/** A kind by its name, or with numbers of its own, as `{ kind: 'adamw', lr: 1e-3, beta2: 0.99 }`. */
export type Named = string | { kind: string; [number: string]: number | string };

export interface Options {
  /** The layers, the last one with an output for each class. */
  layers: Layer[];
  /** `softmax-cross-entropy` where it is not given. */
  loss?: string;
  /** Keras' Adam where it is not given. */
  optimizer?: Named;
  /** Constant where it is not given; `warmup` is in steps. */
  schedule?: Named;
  initializer?: string;
  /** Rows of a minibatch, 32 where it is not given. */
  batchSize?: number;
  /** Passes over the set of one `fit`, 10 where they are not given. */
  epochs?: number;
  /** Steps of one `fit`, in place of epochs. */
  steps?: number;
  clipGradNorm?: number;
  /** Decides the first weights, the order of the rows and dropout: the same seed gives the same bits on the same device and driver. */
  seed?: number;
}

/** Rows with their targets. They lie in the worker, and are let go when nothing holds this object any more. */
export class Dataset {
  private constructor();
  readonly rows: number;
  /** Features of a row. */
  readonly width: number;
  readonly classes: number;
  readonly classNames: string[];
  /** Height, width and channels, where the rows are images. */
  readonly image: [number, number, number] | null;
  /** Characters of the text's vocabulary, where the rows are of a text. */
  readonly vocabulary: number | null;
  /** What was decided where a file left it open. */
  readonly notes: string[];
  /** The columns of a table. */
  readonly columns: string[];

  /** Images and labels in two IDX files, as MNIST has them, gzipped or not. */
  static idx(images: Blob | ArrayBuffer | Uint8Array, labels: Blob | ArrayBuffer | Uint8Array): Promise<Dataset>;
  /** A table: a file that was dropped, or its text. `label` names the column of the targets, the last one where it is not given; `fill` is what a missing value becomes: `mean`, `zero` or a number. */
  static table(
    source: Blob | ArrayBuffer | Uint8Array | string,
    options?: { label?: string; regression?: boolean; ignore?: string[]; categorical?: string[]; fill?: string | number },
  ): Promise<Dataset>;
  /** A text, as rows of `context` characters. */
  static text(text: string, context: number): Promise<Dataset>;
  /** Rows of `width` features, one row after the other; without labels, rows to predict on. Bytes are seen as 0 to 1. */
  static rows(features: Float32Array | Uint8Array | Uint8ClampedArray, width: number, labels?: Uint32Array): Promise<Dataset>;

  /** The rows to train on, and a fraction of all rows to validate on: drawn by the seed, or the last part of a text. */
  split(fraction: number, seed?: number): Promise<[Dataset, Dataset]>;
  /** The same rows, each feature with a mean of 0 and a deviation of 1. The model keeps the scaling. */
  standardized(): Promise<Dataset>;
  slice(from: number, to: number): Promise<Dataset>;
  features(): Promise<Float32Array>;
  labels(): Promise<Uint32Array>;
}

export interface Epoch {
  epoch: number;
  loss: number;
  accuracy: number | null;
  validationLoss: number | null;
  validationAccuracy: number | null;
  seconds: number;
  samplesPerSecond: number;
}

export interface Progress {
  epoch: number;
  step: number;
  steps: number;
  /** Of the steps since the last progress. */
  loss: number;
  accuracy: number | null;
  samplesPerSecond: number;
}

export interface About {
  /** Its name; browsers do not say it. */
  adapter: string;
  kind: string;
  network: string | null;
  parameters: number | null;
}

/** A network that is trained on the GPU of this browser. While it trains, it answers with the weights of the last epoch. */
export class Trainer {
  private constructor();
  /** Rejects where there is no WebGPU, and for an option that cannot be. */
  static create(options: Options): Promise<Trainer>;
  /** Trains, an epoch for each turn of the loop; leaving the loop ends the training. Another call goes on from the last. The training does not wait for the body of the loop:
   * what asks for the model there gets that of the last epoch that has ended by then. */
  fit(
    train: Dataset,
    options?: { validation?: Dataset; onProgress?: (progress: Progress) => void; onStart?: (about: About) => void },
  ): AsyncGenerator<Epoch, void, void>;
  /** Ends a fit that is under way; its loop ends too. */
  stop(): Promise<void>;
  /** The class of each row, and its probability. */
  classify(rows: Dataset): Promise<{ classes: Uint32Array; probabilities: Float32Array }>;
  /** Probabilities of all classes, or numbers in the units of the targets, row by row. */
  predict(rows: Dataset): Promise<Float32Array>;
  /** A text that continues another, character by character. */
  generate(prompt: string, options?: { count?: number; temperature?: number; topK?: number; seed?: number }): Promise<string>;
  /** The model as a safetensors file, which `safetensors.torch.load_file` and `wgrad predict` take. */
  model(): Promise<Uint8Array<ArrayBuffer>>;
  about(): Promise<About>;
}

/** The tensors of a safetensors file, by name. */
export function tensors(bytes: Uint8Array): Record<string, { shape: number[]; values: Float32Array }>;
