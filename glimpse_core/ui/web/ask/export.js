// What is on the page, as files and as a link: the view as a picture, a report, the data, the address.

/** @import { App } from "../types" */
import { button, make } from "../lib/dom.js";
import { addressOf } from "../state/address.js";

/** @param {Blob} blob @param {string} name */
const download = (blob, name) => {
  const link = make("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};

/** @param {App} app */
export const exportView = (app) => {
  const { store, boot, codec, server } = app;
  const box = make("div", "export");
  box.id = "glimpse-export";
  const message = make("p", "message");
  message.setAttribute("role", "status");
  const address = make("input", "address");
  Object.assign(address, { type: "text", readOnly: true, hidden: true });
  address.setAttribute("aria-label", "Link to this example, question and settings");
  const say = (/** @type {string} */ text) => {
    address.hidden = true;
    message.textContent = text;
  };

  const savePicture = async () => {
    const { snapshot } = await import("../stage/snapshot.js");
    const { view, active } = store.get();
    download(await snapshot(app, view), `glimpse-${view}-${active + 1}.png`);
    say("");
  };
  const save = async (/** @type {string} */ kind) => {
    const { example, files } = store.get();
    const { file, problem } = await server.call("page_save", { kind, example }, files);
    if (file) download(new Blob([file.text], { type: file.type }), file.name);
    say(problem ?? "");
  };
  const link = async () => {
    const { query, left } = addressOf(store.get(), codec, boot.tabs);
    const note = store.get().example === null && store.get().pictures.length ? boot.texts.link_pictures : left.length ? boot.texts.link_painted : "";
    address.value = `${location.origin}${location.pathname}${query}`;
    address.hidden = false;
    try {
      await navigator.clipboard.writeText(address.value);
      message.textContent = `The link is copied. ${note}`;
    } catch {
      address.select(); // no clipboard for this page: the address is there to be copied
      message.textContent = `Copy this link. ${note}`;
    }
  };
  /** @type {[string, string, () => Promise<void>][]} */
  const actions = [
    ["png", "Picture", savePicture], ["html", "Report", () => save("html")], ["json", "Data", () => save("json")], ["link", "Copy link", link],
  ];
  const row = make("div", "row");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Save");
  row.append(
    make("span", "", "Save"),
    ...actions.map(([name, label, action]) => {
      const node = button(label, () => action().catch((error) => say(error.message)));
      node.value = name;
      return node;
    }),
  );
  box.append(row, message, address);
  return box;
};
