// The bundled pictures, and the visitor's own: chosen, dropped or pasted.

/** @import { App } from "../types" */
import { button, fill, make } from "../lib/dom.js";

/** Files that are dropped on the stage or pasted anywhere are taken like those of the button. @param {App} app */
const takeFiles = ({ act }) => {
  const isField = (/** @type {EventTarget | null} */ target) => target instanceof HTMLElement && target.closest("#glimpse-tab-benchmark");
  document.addEventListener("paste", ({ clipboardData }) => clipboardData?.files.length && act.add(clipboardData.files));
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      if (isField(event.target)) return;
      event.preventDefault();
      document.body.dataset.glimpseDrop = "true";
    });
  }
  document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || delete document.body.dataset.glimpseDrop);
  document.addEventListener("drop", (event) => {
    delete document.body.dataset.glimpseDrop;
    if (isField(event.target) || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    act.add(event.dataTransfer.files);
  });
};

/** @param {App} app */
export const choiceView = (app) => {
  const { store, boot, act } = app;
  const row = make("div", "choice");
  row.id = "glimpse-choose";
  const strip = make("div", "strip");
  strip.setAttribute("role", "group");
  strip.setAttribute("aria-label", "Example pictures");
  const buttons = boot.examples.map(({ thumbnail, alt }, index) => {
    const image = make("img");
    image.src = thumbnail;
    image.alt = alt;
    const node = button("", () => act.choose(index));
    return fill(node, image);
  });
  strip.append(...buttons);
  const input = make("input");
  Object.assign(input, { type: "file", accept: "image/*", multiple: true, id: "glimpse-files", hidden: true });
  input.addEventListener("change", () => {
    if (input.files?.length) act.add(input.files);
    input.value = ""; // so that the same file can be chosen again
  });
  const own = button("Your picture…", () => input.click(), "own");
  store.watch(({ example }) => [example], ({ example }) => {
    buttons.forEach((node, index) => node.setAttribute("aria-pressed", String(index === example)));
  });
  takeFiles(app);
  row.append(strip, own, input);
  return row;
};
