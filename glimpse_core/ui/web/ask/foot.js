// How the method works and what the loaded model can be asked, below everything else.

/** @import { App } from "../types" */
import { make, rich } from "../lib/dom.js";

/** @param {App} app */
export const footView = ({ boot }) => {
  const foot = make("section", "foot");
  const part = (/** @type {string} */ title, /** @type {string[]} */ ...texts) => {
    const box = make("div");
    box.append(make("h2", "", title), ...texts.flatMap(rich));
    return box;
  };
  foot.append(part("How it works", boot.texts.how), part("What this model knows", boot.texts.knows, boot.texts.privacy));
  return foot;
};
