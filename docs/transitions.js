// Writes the transitions of the page's state machine (glimpse_core/ui/web/state/machine.js) into docs/architecture.md.
//
//     node docs/transitions.js            # `make docs` does it where there is Node
//
// tests/web/transitions.test.js checks that the document is up to date.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PICTURES, REQUEST } from "../glimpse_core/ui/web/state/machine.js";

export const DOCUMENT = new URL("architecture.md", import.meta.url);
const REGION = /(<!-- transitions: (\w+) -->\n)[^]*?(<!-- \/transitions -->)/g;

/** One row for each state and event that means something in it. @param {import("../glimpse_core/ui/web/state/machine.js").Table} table */
export const markdown = (table) => {
  const code = (names) => names.map((name) => `\`${name}\``).join(", ");
  const rows = Object.entries(table).flatMap(([state, events]) =>
    Object.entries(events).map(([event, [next, ...effects]]) => [code([state]), code([event]), code([next]), code(effects)]),
  );
  return [["state", "event", "next state", "what is done"], Array(4).fill(":---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
};

const TABLES = { request: REQUEST, images: PICTURES };

/** The document with its tables up to date. @param {string} text */
export const filled = (text) => text.replace(REGION, (_, open, name, close) => `${open}${markdown(TABLES[name])}\n${close}`);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const before = readFileSync(DOCUMENT, "utf8");
  if (filled(before) !== before) writeFileSync(DOCUMENT, filled(before));
}
