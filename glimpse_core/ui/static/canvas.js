// What the stage says and how it is used. Masks are computed here, so moving a control never runs the model.
const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)}%`;

const summarize = () => {
  const total = stage.probabilities.length;
  const { kept } = stage.selection;
  if (!scored()) {
    count.textContent = "";
    bar.style.setProperty("--share", "0");
    canvas.setAttribute("aria-label", picture() ? `${picture().alt} Ask a question to see which parts the model keeps.` : "No picture");
    return;
  }
  fill(count, make("strong", "", String(kept)), ` of ${total} tokens kept (${percent(kept, total)})`);
  bar.style.setProperty("--share", String(kept / total));
  const top = stage.order[0];
  const where = top - offset();
  const inside = where >= 0 && where < picture().rows * picture().cols;
  const best = inside
    ? ` The most relevant one is in row ${Math.floor(where / picture().cols) + 1}, column ${(where % picture().cols) + 1}.`
    : "";
  canvas.setAttribute(
    "aria-label",
    `${picture().alt} ${picture().rows} rows by ${picture().cols} columns of tokens; ${kept} of ${total} are kept.${best} Arrow keys move over the tokens.`,
  );
};

const read = () => {
  readout.dataset.open = String(scored());
  if (!scored() || stage.cell === null) {
    const { original, width, height } = picture() || {};
    const resized = original && (original[0] !== width || original[1] !== height);
    const note = resized ? ` The model sees this picture at ${width} × ${height} pixels (yours has ${original[0]} × ${original[1]}).` : "";
    fill(words, scored() ? `Point at a token, or use the arrow keys, to see why it stays or goes.${note}` : "");
    crop.hidden = true;
    return;
  }
  const { cols, rows } = picture();
  const row = Math.floor(stage.cell / cols);
  const col = stage.cell % cols;
  const index = offset() + stage.cell;
  const kept = stage.selection.mask[index];
  fill(
    words,
    make("strong", "", `Row ${row + 1}, column ${col + 1}`),
    ` relevance ${stage.probabilities[index].toFixed(3)} (logit ${stage.logits[index].toFixed(2)}), rank ${stage.rank[index]} of ${stage.order.length}: `,
    make("span", kept ? "yes" : "no", REASONS[stage.selection.reason[index]]),
  );
  const image = stage.images[stage.active];
  crop.hidden = false;
  crop.width = crop.height = 112;
  const [dx, dy] = [image.naturalWidth / cols, image.naturalHeight / rows];
  crop.getContext("2d").drawImage(image, col * dx, row * dy, dx, dy, 0, 0, 112, 112);
};

const reselect = () => {
  stage.selection = selectTokens(stage.probabilities, stage.settings, stage.order);
  legend.style.setProperty("--threshold", String(stage.settings.threshold));
  summarize();
  read();
  redraw();
};

const setView = (name) => {
  stage.view = name;
  for (const button of tabs.children) button.setAttribute("aria-checked", String(button.value === name));
  for (const button of tabs.children) button.tabIndex = button.value === name ? 0 : -1;
  legend.dataset.view = name;
  fadeLabel.style.visibility = name === "heat" || name === "kept" ? "visible" : "hidden";
  redraw();
};

const setCell = (cell) => {
  if (stage.cell === cell) return;
  stage.cell = cell;
  read();
  redraw();
};

const setPage = (index) => {
  stage.active = index;
  stage.cell = null;
  [...strip.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
  resize();
  summarize();
  read();
};

// Views and overlay mean nothing before there are scores.
const enable = (ready) => {
  root.dataset.scored = String(ready);
  for (const control of [...tabs.children, fade]) control.disabled = !ready;
};

const load = (_, value) => {
  if (!value || value.serial === stage.serial) return;
  stage.serial = value.serial;
  stage.pictures = value.pictures;
  stage.probabilities = decode(value.probabilities);
  stage.logits = decode(value.logits);
  stage.order = rankTokens(stage.probabilities);
  stage.rank = new Array(stage.order.length);
  stage.order.forEach((index, place) => (stage.rank[index] = place + 1));
  enable(value.probabilities !== "");
  stage.images = value.pictures.map((item) => {
    const image = new Image();
    image.onload = resize;
    image.src = item.src;
    return image;
  });
  fill(
    strip,
    ...(value.pictures.length > 1 ? value.pictures : []).map((item, index) => {
      const button = make("button");
      const image = make("img");
      button.type = "button";
      image.src = item.src;
      image.alt = `Picture ${index + 1}`;
      button.append(image);
      button.addEventListener("click", () => setPage(index));
      return button;
    }),
  );
  setPage(Math.min(stage.active, Math.max(0, value.pictures.length - 1)));
  reselect();
};

const cellAt = (event) => {
  if (!scored()) return null;
  const box = canvas.getBoundingClientRect();
  const col = Math.floor(((event.clientX - box.left) / box.width) * picture().cols);
  const row = Math.floor(((event.clientY - box.top) / box.height) * picture().rows);
  const inside = row >= 0 && col >= 0 && row < picture().rows && col < picture().cols;
  return inside ? row * picture().cols + col : null;
};

const onKey = (event) => {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (event.key === "Escape") return setCell(null);
  if (!scored() || !moves[event.key]) return;
  event.preventDefault();
  const { rows, cols } = picture();
  if (stage.cell === null) return setCell(Math.max(0, stage.order[0] - offset()) % (rows * cols));
  const [down, right] = moves[event.key];
  const row = Math.min(rows - 1, Math.max(0, Math.floor(stage.cell / cols) + down));
  const col = Math.min(cols - 1, Math.max(0, (stage.cell % cols) + right));
  setCell(row * cols + col);
};

// Files dropped or pasted take the same way as those of the "Add pictures" button.
const hand = (files) => {
  const input = document.querySelector("#glimpse-choose input[type=file]");
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (!input || !pictures.length) return;
  const transfer = new DataTransfer();
  for (const file of pictures) transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};

const build = () => {
  tabs.setAttribute("role", "radiogroup");
  tabs.setAttribute("aria-label", "View");
  for (const [name, label] of VIEWS) {
    const button = make("button", "", label);
    button.type = "button";
    button.value = name;
    button.setAttribute("role", "radio");
    button.addEventListener("click", () => setView(name));
    tabs.append(button);
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = VIEWS.findIndex(([name]) => name === stage.view);
    const next = (at + step + VIEWS.length) % VIEWS.length;
    setView(VIEWS[next][0]);
    tabs.children[next].focus();
  });
  Object.assign(fade, { type: "range", min: "0.2", max: "1", step: "0.05", value: String(stage.opacity) });
  fade.addEventListener("input", () => {
    stage.opacity = Number(fade.value);
    redraw();
  });
  fadeLabel.append(fade);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "token map");
  canvas.addEventListener("pointermove", (event) => setCell(cellAt(event)));
  canvas.addEventListener("pointerdown", (event) => setCell(cellAt(event)));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && setCell(null));
  canvas.addEventListener("keydown", onKey);
  const ramp = make("span", "ramp");
  ramp.style.background = `linear-gradient(90deg, ${STOPS.map((stop) => `rgb(${stop.join(",")})`).join(",")})`;
  ramp.append(make("i", "tick"));
  const heat = make("div", "key heat");
  heat.append(make("span", "", "irrelevant 0"), ramp, make("span", "", "1 relevant"));
  const masks = make("div", "key mask");
  masks.append(make("i", "swatch in"), make("span", "", "kept"), make("i", "swatch out"), make("span", "", "pruned"));
  legend.append(heat, masks);
  words.setAttribute("aria-live", "polite");
  readout.append(crop, words);
  frame.append(canvas, empty);
  const top = make("div", "top");
  top.append(tabs, fadeLabel);
  const facts = make("div", "facts");
  facts.append(count, legend);
  root.append(top, frame, strip, bar, facts, readout);
  for (const name of ["dragenter", "dragover"]) {
    frame.addEventListener(name, (event) => {
      event.preventDefault();
      frame.dataset.drop = "true";
    });
  }
  frame.addEventListener("dragleave", () => delete frame.dataset.drop);
  frame.addEventListener("drop", (event) => {
    event.preventDefault();
    delete frame.dataset.drop;
    hand(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => event.clipboardData && hand(event.clipboardData.files));
  new ResizeObserver(resize).observe(frame);
  new MutationObserver(redraw).observe(document.body, { attributeFilter: ["class"] });
};

build();
enable(false);
setView(stage.view);
window.glimpse = {
  select: selectTokens,
  stage,
  view: setView,
  settings: (threshold, share, floor) => {
    const ok = [threshold, share, floor].every((value) => typeof value === "number" && Number.isFinite(value));
    if (!ok) return;
    stage.settings = { threshold, ratio: share >= 100 ? null : share / 100, floor };
    reselect();
  },
};
panel(load);
