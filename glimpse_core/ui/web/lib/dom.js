// All text reaches the page through these helpers: as text, and never as HTML.

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[T]}
 */
export const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

/**
 * @template {Element} T
 * @param {T} node
 * @param {...(Node | string | null | undefined | false | "")} children
 * @returns {T}
 */
export const fill = (node, ...children) => {
  node.replaceChildren(.../** @type {(Node | string)[]} */ (children.filter(Boolean)));
  return node;
};

/**
 * A button that does something when it is pressed.
 * @param {string} text
 * @param {(event: MouseEvent) => void} press
 * @param {string} [className]
 */
export const button = (text, press, className) => {
  const node = make("button", className, text);
  node.type = "button";
  node.addEventListener("click", press);
  return node;
};

/** @param {string} base64 */
export const bytesOf = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

/** @param {string} base64 of little-endian float32 */
export const floatsOf = (base64) => new Float32Array(bytesOf(base64).buffer);

/**
 * Buttons of which one is chosen, moved by arrow keys.
 * @param {string} label
 * @param {readonly (readonly [string, string])[]} choices name and text
 * @param {(name: string) => void} choose
 * @returns {{ box: HTMLElement, mark: (name: string) => void, enable: (able: boolean) => void }}
 */
export const radios = (label, choices, choose) => {
  const box = make("div", "radios");
  box.setAttribute("role", "radiogroup");
  box.setAttribute("aria-label", label);
  const buttons = choices.map(([name, text]) => {
    const node = button(text, () => choose(name));
    node.value = name;
    node.setAttribute("role", "radio");
    return node;
  });
  box.append(...buttons);
  let current = 0;
  box.addEventListener("keydown", (event) => {
    const step = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 })[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (current + step + buttons.length) % buttons.length;
    choose(choices[next][0]);
    buttons[next].focus();
  });
  return {
    box,
    mark: (name) => {
      current = Math.max(0, choices.findIndex(([choice]) => choice === name));
      buttons.forEach((node, i) => {
        node.setAttribute("aria-checked", String(i === current));
        node.tabIndex = i === current ? 0 : -1;
      });
    },
    enable: (able) => buttons.forEach((node) => (node.disabled = !able)),
  };
};

/**
 * Paragraphs of a text, parted by empty lines, with **bold** and *slanted* words.
 * @param {string} text
 */
export const rich = (text) =>
  text.trim().split(/\n\s*\n/).map((paragraph) => {
    const node = make("p");
    for (const piece of paragraph.replace(/\s+/g, " ").split(/(\*\*[^*]+\*\*|\*[^*]+\*)/)) {
      if (piece.startsWith("**")) node.append(make("strong", "", piece.slice(2, -2)));
      else if (piece.startsWith("*")) node.append(make("em", "", piece.slice(1, -1)));
      else node.append(piece);
    }
    return node;
  });
