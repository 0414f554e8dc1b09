// Keeping and dropping tokens by hand, which overrides the rule.

/** @import { App } from "../types" */
import { button, make, radios } from "../lib/dom.js";
import { isAttention, isScored } from "../state/shown.js";

/** @type {readonly (readonly [string, string])[]} */
const TOOLS = [
  ["look", "Look"],
  ["keep", "Keep"],
  ["drop", "Drop"],
];
/** @param {App} app */
export const editTools = ({ store }) => {
  const box = make("div", "tools");
  const tools = radios("Paint tokens by hand", TOOLS, (name) => store.dispatch({ type: "tool", name }));
  const wash = button("", () => store.dispatch({ type: "wash" }), "wash");
  tools.box.classList.add("tabs");
  box.append(make("span", "what", "By hand"), tools.box, wash);
  store.watch(
    (state) => [state.tool, state.settings.control, state.settings.painted, state.settings.erased, isScored(state)],
    (state) => {
      const { control, painted, erased } = state.settings;
      const edits = painted.length + erased.length;
      tools.mark(state.tool);
      tools.enable(isScored(state));
      wash.textContent = control ? `Back to the ${isAttention(state) ? "rule" : "glimpse"}'s choice` : `Clear ${edits} painted`;
      wash.hidden = !edits && !control;
    },
  );
  return box;
};
