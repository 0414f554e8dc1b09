// The one way to Python: Gradio's documented HTTP interface. A call is one request and one answer; a stream is one request
// and one stream of events of its own, so messages of two requests cannot mix, overtake each other or get lost in between.

/** @import { Message } from "../types" */

const SILENCE = 45_000; // milliseconds without a word, a heartbeat included, after which the connection counts as lost

/** The connection failed: nothing more will come of this request. */
export class ConnectionLost extends Error {}

/**
 * @typedef {object} Server
 * @property {(name: string, payload: object, files?: unknown[]) => Promise<any>} call
 * @property {(name: string, payload: object, files: unknown[], signal: AbortSignal) => AsyncGenerator<any>} stream
 * @property {(files: File[], signal: AbortSignal) => Promise<object[]>} upload files as Gradio names them
 * @property {(name: string, payload: object) => void} notify without waiting, also while the page is being closed
 */

/** Splits a byte stream into events. @param {ReadableStream<Uint8Array>} body */
async function* eventsOf(body) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), SILENCE);
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        yield parseEvent(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} block */
export const parseEvent = (block) => {
  const event = { name: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event.name = line.slice(6).trim();
    if (line.startsWith("data:")) event.data += line.slice(5).trim();
  }
  return event;
};

/** @template T @param {Promise<T>} promise @param {number} milliseconds @returns {Promise<T>} */
const within = (promise, milliseconds) => {
  /** @type {ReturnType<typeof setTimeout>} */
  let clock;
  const late = new Promise((_, reject) => {
    clock = setTimeout(() => reject(new ConnectionLost("silence")), milliseconds);
  });
  return /** @type {Promise<T>} */ (Promise.race([promise, late]).finally(() => clearTimeout(clock)));
};

/** @param {Response} response */
const checked = async (response) => {
  if (response.ok) return response;
  const { detail, error } = await response.json().catch(() => ({}));
  throw new ConnectionLost(error || detail || `the server answered ${response.status}`);
};

/** A borrowed GPU is charged to the account that is signed in, which the page around this one, on Hugging Face, knows. */
const borrowerHeaders = () =>
  new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = ({ data }) => resolve(data || {});
    setTimeout(resolve, 2000, {});
    const { hostname } = location;
    const around = hostname.includes(".dev.") ? `https://moon-${hostname.split(".")[1]}.dev.spaces.huggingface.tech` : "https://huggingface.co";
    window.parent.postMessage("zerogpu-headers", around, [channel.port2]);
  });

/**
 * @param {string} root address of the page, with a slash at its end
 * @param {string} visitor this page's own key, which cannot be guessed
 * @param {boolean} borrowed whether each request borrows a GPU
 * @returns {Server}
 */
export const connect = (root, visitor, borrowed) => {
  const address = (/** @type {string} */ path) => new URL(`gradio_api/${path}`, root).href;
  const bodyOf = (/** @type {object} */ payload, /** @type {unknown[]} */ files) =>
    JSON.stringify({ data: [{ ...payload, visitor }, files.length ? files : null] });
  const post = async (/** @type {string} */ path, /** @type {string} */ body, /** @type {AbortSignal | undefined} */ signal, extra = {}) => {
    const response = await fetch(address(path), {
      method: "POST", body, signal, headers: { "Content-Type": "application/json", ...extra },
    });
    return (await checked(response)).json();
  };

  return {
    call: async (name, payload, files = []) => (await post(`run/${name}`, bodyOf(payload, files), undefined)).data[0],

    async *stream(name, payload, files, signal) {
      const extra = borrowed && window.parent !== window ? await borrowerHeaders() : {};
      const { event_id: id } = await post(`call/${name}`, bodyOf(payload, files), signal, extra);
      const response = await checked(await fetch(address(`call/${name}/${id}`), { signal }));
      if (!response.body) throw new ConnectionLost("no stream");
      for await (const { name: kind, data } of eventsOf(response.body)) {
        if (kind === "generating") yield JSON.parse(data)[0];
        if (kind === "complete") return; // with the last message once more
        if (kind === "error") throw new ConnectionLost(JSON.parse(data)?.error || "the server failed");
      }
      throw new ConnectionLost("the stream ended early");
    },

    upload: async (files, signal) => {
      const form = new FormData();
      for (const file of files) form.append("files", file);
      const response = await checked(await fetch(address("upload"), { method: "POST", body: form, signal }));
      const paths = /** @type {string[]} */ (await response.json());
      return paths.map((path, i) => ({ path, orig_name: files[i].name, meta: { _type: "gradio.FileData" } }));
    },

    notify: (name, payload) => {
      const body = new Blob([bodyOf(payload, [])], { type: "application/json" });
      if (!navigator.sendBeacon(address(`run/${name}`), body)) post(`run/${name}`, bodyOf(payload, []), undefined).catch(() => {});
    },
  };
};
