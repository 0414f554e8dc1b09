// What the page's modules hand to each other. Messages are those of glimpse_core/ui/messages.py.

export interface Store<S, A> {
  get(): S;
  dispatch(action: A): void;
  /** Calls draw now, and again whenever one of the selected values has changed. Returns a function that ends it. */
  watch(select: (state: S) => readonly unknown[], draw: (state: S) => void): () => void;
}

// Messages ------------------------------------------------------------------------------------------------------------

export interface Picture {
  src?: string; // address; a message about scores leaves it out, the picture is on the page by then
  alt?: string;
  rows: number; // 0 before there are scores
  cols: number;
  width: number;
  height: number;
  original?: [number, number];
  frame?: [number, number, number, number];
}

export interface Selected {
  settings: Settings;
  mask: string; // base64 of 0 or 1 per token where the browser cannot work it out, else empty
}

export interface CanvasMessage {
  pictures?: Picture[];
  probabilities?: string; // base64 of little-endian float32: of a predictor, or attention relative to the most attended token
  logits?: string; // of a predictor
  attention_layer?: number; // where the scores are attention, its decoder layer
  evidence?: string; // base64 of 0 or 1 per token, empty where it is not known
  answered?: Selected | null;
  clear?: boolean;
}

export interface Answer {
  pieces: [string, boolean][];
  state: string;
  measured: Record<string, number>; // milliseconds by stage
  first?: number | null; // milliseconds to the first token
  limit?: number;
  old?: boolean; // from an earlier run than the other side
  tokens: number; // visual tokens that it is made from
  length: number; // prompt tokens in its cache
  right?: boolean | null; // where the true answer is known
}

export interface Verdict {
  same: boolean | null;
  text: string;
}

export interface Answers {
  question: string;
  truth: string | null;
  full: Answer | null;
  kept: Answer | null;
  verdict: Verdict | null;
  rule?: string;
  stored?: string;
  reused?: number;
}

export interface BandAnswer {
  budget: number;
  kept: number;
  text: string;
  finished: string | null;
  right: boolean | null;
}

export interface BandMessage {
  answers: BandAnswer[];
  finished: boolean;
}

export type Side = "full" | "kept";

export interface Word {
  text: string;
  depends: boolean; // whether it changes without any visual token
  needs: number[]; // visual tokens
}

/** How far the attribution of an answer is. */
export interface AttributionMessage {
  side?: Side;
  tries?: number; // prompts scored so far
  words?: { text: string; kept: string; words: Word[] };
  problem?: string;
}

export interface StatusMessage {
  text: string;
  kind: "info" | "busy" | "error";
}

export interface Message {
  canvas?: CanvasMessage;
  answers?: Answers;
  inside?: Inside;
  band?: BandMessage;
  status?: StatusMessage;
  familiar?: boolean | null; // whether the model knows pictures of this kind
}

export interface Heads {
  layer: number;
  read_layers: number[];
  maps: string[];
  peaks: number[];
  heads: number;
  vip: string;
}

/** A token that could have been next; text is empty where it is the end of the answer. */
export interface NextToken {
  token_id: number;
  probability: number;
  text: string;
  stop: boolean;
}

export interface Divergence {
  position: number;
  shared: string;
  full: NextToken[];
  kept: NextToken[];
}

export interface Inside {
  question: string;
  note?: string;
  layers: number;
  keep_layer: number;
  alive: { full: number[]; kept: number[]; cached: number[] };
  calculated: Record<"full" | "kept", Record<string, number>>;
  measured: Record<"full" | "kept", Record<string, number>>;
  kv_bytes: { full: number; kept: number; per_token: number };
  heads: Heads | null;
  attention?: boolean; // true where the scores are attention: the model has no glimpse modules
  divergence?: Divergence | null;
  stored?: boolean;
}

// Settings ------------------------------------------------------------------------------------------------------------

export interface Field {
  name: string;
  kind: string;
  key: string;
  label: string;
  caption: string;
  phrase: [string, string];
  low?: number;
  high?: number;
  nullable?: boolean;
  choices?: Record<string, string>;
  control?: { low: number; high: number; step: number };
  default: unknown; // that a page begins with
  usual: unknown; // of the table, whatever the model
  ranked: boolean;
}

export interface Settings {
  threshold: number;
  max_ratio: number | null;
  min_tokens: number;
  budget: number | null;
  anchors: string[];
  painted: number[];
  erased: number[];
  control: string;
  seed: number;
}

export interface Selection {
  mask: Uint8Array;
  reason: Uint8Array;
  kept: number;
}

// State ---------------------------------------------------------------------------------------------------------------

export interface Example {
  src: string;
  thumbnail: string;
  alt: string;
  questions: [string, string][]; // with the true answer
}

/** trained: whether glimpse modules score the tokens; else attention does. */
export interface Model {
  state: string;
  title: string;
  detail: string;
  trained: boolean;
}

/** What Python gives the page once. */
export interface Boot {
  fields: Field[];
  length: Field;
  reasons: string[];
  reasons_by_rank: string[]; // where no threshold decides
  texts: Record<string, string>;
  examples: Example[];
  tabs: string[];
  methods: { name: string; label: string; usual: boolean }[];
  first: Shown | null; // of the first example
  model: Model;
  borrowed: boolean; // whether each request borrows a GPU
  limits: { pictures: number; bytes: number; question: number };
  band: boolean; // whether the band is computed without being asked for
}

/** What the page's address asks for. */
export interface Linked extends Selected {
  question: string | null;
  length: number | null;
  problems: string[];
}

export interface Shown extends Message {
  questions: string[];
  example?: number | null;
  link?: Linked;
}

export interface Scores {
  layer: number | null; // whose attention they are; null: of a trained predictor
  probabilities: Float32Array;
  logits: Float32Array;
  order: Uint32Array; // token indices, the most relevant first
  rank: Uint32Array; // of each token, from 1
}

/** See state/machine.js. */
export interface Asking {
  phase: "idle" | "asking" | "answering" | "stopping";
  pictures: "none" | "loading" | "held";
  request: number; // of the newest request
  load: number; // of the newest choice of pictures
  question: string; // that was asked last; empty where other tokens were
  held: string; // that waits for pictures
}

export interface Band {
  phase: "none" | "running" | "done" | "stopped";
  answers: BandAnswer[];
}

/** What the words of one answer need. */
export interface Attribution {
  text: string; // of the answer
  mask: Uint8Array; // of the tokens that it is made from
  words: Word[];
}

export interface State {
  tab: string;
  model: Model;
  example: number | null; // which bundled picture is on the stage
  files: unknown[]; // own pictures, as Gradio's upload names them
  pictures: Picture[];
  images: (HTMLImageElement | null)[]; // the pictures as loaded
  active: number; // which of the pictures is shown
  suggestions: string[];
  question: string; // in the box
  typed: boolean; // whether the question in the box was typed after the pictures were chosen
  linked: string | null; // the question that the edits of the page's address are for
  problems: string; // with the page's address; empty where there are none
  asking: Asking;
  status: StatusMessage;
  scores: Scores | null;
  settings: Settings;
  length: number; // longest answer
  controlMask: Uint8Array | null; // of a random or inverse selection
  before: Before | null; // the question before, about the same pictures
  both: boolean; // whether its tokens are shown as well
  evidence: Uint8Array | null; // tokens that the true answer follows from, where they are known
  answered: { mask: Uint8Array; settings: Settings } | null; // what the shown pruned answer was made from
  answers: Answers | null;
  inside: Inside | null;
  times: { full: number[]; kept: number[] }; // milliseconds to the first token, of runs that gave both answers
  band: Band;
  words: {
    phase: "none" | "waiting" | "running" | "done" | "stopped"; // waiting: for the band
    tries: number;
    kept: Attribution | null;
    full: Attribution | null;
  };
  word: { side: Side; number: number } | null; // that is pointed at
  familiar: boolean | null;
  view: string;
  layer: number; // of the decoder, in the view of layers
  truth: boolean; // whether the evidence is shown, where it is known
  opacity: number;
  wipe: number;
  tool: string;
  cell: number | null; // under the pointer, in the active picture
  lesson: number | null;
}

/** What stays of a question when the next one about the same pictures is asked. */
export interface Before {
  question: string;
  mask: Uint8Array; // of its kept tokens
  text: string; // of its pruned answer
}

export type Action = { type: string; [name: string]: any };

/** What every component is handed. */
export interface App {
  store: Store<State, Action>;
  boot: Boot;
  codec: import("./state/settings.js").Codec;
  server: import("./lib/server.js").Server;
  act: import("./state/actions.js").Actions;
}
