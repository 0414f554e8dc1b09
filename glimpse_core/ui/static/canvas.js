// The stage: the picture on its own token grid. Masks are computed here, so moving a control never runs the model.
const VIEWS = [
  ["picture", "Picture"],
  ["heat", "Heat map"],
  ["kept", "Kept"],
  ["only", "Kept only"],
];
// Cividis: evenly bright steps that people with any color vision order alike.
const STOPS = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115],
  [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [253, 231, 55],
];
const heatColor = (share) => {
  const place = Math.min(1, Math.max(0, share)) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  return STOPS[low].map((value, i) => Math.round(value + (STOPS[low + 1][i] - value) * (place - low)));
};
const decode = (text) => new Float32Array(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer);

const stage = {
  pictures: [], images: [], active: 0, probabilities: new Float32Array(), logits: new Float32Array(), order: [], rank: [],
  settings: { threshold: 0.5, ratio: null, floor: 1 }, selection: selectTokens(new Float32Array(), { threshold: 0.5, ratio: null, floor: 1 }),
  view: "kept", opacity: 0.8, cell: null, serial: 0, drawn: 0,
};

const root = element.firstElementChild;
const tabs = make("div", "tabs");
const fade = make("input");
const fadeLabel = make("label", "fade", "Overlay");
const frame = make("div", "frame");
const canvas = make("canvas");
const empty = make("p", "empty", "Add a picture, drop one here, or choose an example above.");
const strip = make("div", "pages");
const count = make("p", "count");
const bar = make("div", "bar");
const legend = make("div", "legend");
const readout = make("div", "readout");
const crop = make("canvas", "crop");
const words = make("p", "words");
const brush = canvas.getContext("2d");

const picture = () => stage.pictures[stage.active];
const scored = () => Boolean(picture() && picture().rows);
const offset = () => stage.pictures.slice(0, stage.active).reduce((sum, item) => sum + item.rows * item.cols, 0);

// One pixel per token, enlarged without smoothing: the overlay cannot drift from the grid.
const overlay = (paint) => {
  const { rows, cols } = picture();
  const small = make("canvas");
  small.width = cols;
  small.height = rows;
  const context = small.getContext("2d");
  const data = context.createImageData(cols, rows);
  const start = offset();
  for (let i = 0; i < rows * cols; i++) data.data.set(paint(start + i), 4 * i);
  context.putImageData(data, 0, 0);
  brush.imageSmoothingEnabled = false;
  brush.drawImage(small, 0, 0, canvas.width, canvas.height);
  brush.imageSmoothingEnabled = true;
};

const edgeX = (col) => Math.round((col * canvas.width) / picture().cols);
const edgeY = (row) => Math.round((row * canvas.height) / picture().rows);

// The border between kept and pruned tokens, in the accent color on white so that it shows on any picture.
const outline = () => {
  const { rows, cols } = picture();
  const { mask } = stage.selection;
  const start = offset();
  const on = (row, col) => row >= 0 && col >= 0 && row < rows && col < cols && mask[start + row * cols + col];
  const path = new Path2D();
  for (let row = 0; row <= rows; row++) {
    for (let col = 0; col <= cols; col++) {
      if (Boolean(on(row, col)) !== Boolean(on(row - 1, col))) {
        path.moveTo(edgeX(col), edgeY(row));
        path.lineTo(edgeX(col + 1), edgeY(row));
      }
      if (Boolean(on(row, col)) !== Boolean(on(row, col - 1))) {
        path.moveTo(edgeX(col), edgeY(row));
        path.lineTo(edgeX(col), edgeY(row + 1));
      }
    }
  }
  const unit = Math.max(1, canvas.width / canvas.clientWidth || 1);
  brush.lineCap = "square";
  for (const [color, width] of [["rgba(255, 255, 255, 0.9)", 4 * unit], [styleOf("--glimpse-cell"), 1.75 * unit]]) {
    brush.strokeStyle = color;
    brush.lineWidth = width;
    brush.stroke(path);
  }
};

const styleOf = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

const redraw = () => {
  const image = stage.images[stage.active];
  const ready = image && image.complete && image.naturalWidth;
  frame.dataset.filled = String(Boolean(picture()));
  if (!ready) return;
  const { view, opacity } = stage;
  const { mask } = stage.selection;
  brush.clearRect(0, 0, canvas.width, canvas.height);
  brush.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (scored()) {
    const veil = rgb(styleOf("--glimpse-veil"));
    if (view === "heat") overlay((i) => [...heatColor(stage.probabilities[i]), 255 * opacity]);
    if (view === "kept") overlay((i) => [...veil, mask[i] ? 0 : 255 * opacity]);
    if (view === "only") overlay((i) => [...veil, mask[i] ? 0 : 255]);
    if (view === "kept") outline();
    if (stage.cell !== null) {
      const row = Math.floor(stage.cell / picture().cols);
      const col = stage.cell % picture().cols;
      const unit = Math.max(1, canvas.width / canvas.clientWidth || 1);
      for (const [color, width] of [["#ffffff", 4.5 * unit], [styleOf("--glimpse-cell"), 2 * unit]]) {
        brush.lineWidth = width;
        brush.strokeStyle = color;
        brush.strokeRect(edgeX(col), edgeY(row), edgeX(col + 1) - edgeX(col), edgeY(row + 1) - edgeY(row));
      }
    }
  }
  stage.drawn++;
};

// As wide as the column and no higher than the window allows, in the grid's exact proportions.
const resize = () => {
  if (!picture()) return redraw();
  const { rows, cols, width, height } = picture();
  const aspect = scored() ? cols / rows : width / height;
  const room = Math.min(frame.clientWidth, Math.max(240, 0.62 * window.innerHeight) * aspect);
  const unit = Math.max(1, window.devicePixelRatio || 1);
  canvas.style.width = `${Math.round(room)}px`;
  canvas.style.height = `${Math.round(room / aspect)}px`;
  canvas.width = Math.round(room * unit);
  canvas.height = Math.round((room / aspect) * unit);
  redraw();
};

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

const load = (_, value) => {
  if (!value || value.serial === stage.serial) return;
  stage.serial = value.serial;
  stage.pictures = value.pictures;
  stage.probabilities = decode(value.probabilities);
  stage.logits = decode(value.logits);
  stage.order = rankTokens(stage.probabilities);
  stage.rank = new Array(stage.order.length);
  stage.order.forEach((index, place) => (stage.rank[index] = place + 1));
  root.dataset.scored = String(value.probabilities !== "");
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
