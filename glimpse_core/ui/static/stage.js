// The stage's state, its parts on the page, and how it is drawn: the picture on its own token grid. canvas.js follows.
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
