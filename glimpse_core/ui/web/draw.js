// The picture on its own token grid, in the chosen view.
const HEAT = Array.from({ length: 256 }, (_, i) => heatColor(i / 255));
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// Where a column or row of tokens begins on the canvas, which shows the picture and not its padding.
const edge = (at, low, length, pixels) => Math.round((Math.min(length, Math.max(0, at - low)) * pixels) / length);
const edgeX = (col) => edge(col, picture().area.left, picture().area.width, canvas.width);
const edgeY = (row) => edge(row, picture().area.top, picture().area.height, canvas.height);

// One pixel per token, enlarged without smoothing: the overlay cannot drift from the grid.
const small = make("canvas");
const overlay = (colorOf, alphaOf) => {
  const { rows, cols, area } = picture();
  small.width = cols;
  small.height = rows;
  const context = small.getContext("2d");
  const data = context.createImageData(cols, rows);
  const start = offset();
  for (let i = 0; i < rows * cols; i++) {
    const color = colorOf(start + i);
    data.data[4 * i] = color[0];
    data.data[4 * i + 1] = color[1];
    data.data[4 * i + 2] = color[2];
    data.data[4 * i + 3] = alphaOf(start + i);
  }
  context.putImageData(data, 0, 0);
  brush.imageSmoothingEnabled = false;
  brush.drawImage(small, area.left, area.top, area.width, area.height, 0, 0, canvas.width, canvas.height);
  brush.imageSmoothingEnabled = true;
};

const strokeTwice = (draw, outer, inner) => {
  for (const [color, width] of [["rgba(255, 255, 255, 0.9)", outer], [stage.inks.cell, inner]]) {
    brush.strokeStyle = color;
    brush.lineWidth = width * stage.unit;
    draw();
  }
};

// The border between kept and pruned tokens, in the accent color on white so that it shows on any picture.
const outline = () => {
  const { cols, area } = picture();
  const { mask } = stage.selection;
  const start = offset();
  const [[top, bottom], [left, right]] = [area.rows, area.cols];
  const on = (row, col) => row >= top && col >= left && row < bottom && col < right && mask[start + row * cols + col] === 1;
  const path = new Path2D();
  for (let row = top; row <= bottom; row++) {
    for (let col = left; col <= right; col++) {
      if (on(row, col) !== on(row - 1, col)) {
        path.moveTo(edgeX(col), edgeY(row));
        path.lineTo(edgeX(col + 1), edgeY(row));
      }
      if (on(row, col) !== on(row, col - 1)) {
        path.moveTo(edgeX(col), edgeY(row));
        path.lineTo(edgeX(col), edgeY(row + 1));
      }
    }
  }
  brush.lineCap = "square";
  strokeTwice(() => brush.stroke(path), 4, 1.75);
};

// The token under the pointer, and its neighbors in a thinner line.
const marker = () => {
  const { cols } = picture();
  const row = Math.floor(stage.cell / cols);
  const col = stage.cell % cols;
  const box = (reach) => {
    const [left, top] = [edgeX(col - reach), edgeY(row - reach)];
    return [left, top, edgeX(col + 1 + reach) - left, edgeY(row + 1 + reach) - top];
  };
  brush.setLineDash([4 * stage.unit, 3 * stage.unit]);
  strokeTwice(() => brush.strokeRect(...box(1)), 2.5, 1);
  brush.setLineDash([]);
  strokeTwice(() => brush.strokeRect(...box(0)), 4.5, 2);
};

// Lines between the tokens, for the lesson on what a token is.
const gridLines = () => {
  const { rows, cols } = picture().area;
  brush.strokeStyle = "rgba(255, 255, 255, 0.75)";
  brush.lineWidth = stage.unit;
  brush.beginPath();
  for (let row = rows[0] + 1; row < rows[1]; row++) {
    brush.moveTo(0, edgeY(row));
    brush.lineTo(canvas.width, edgeY(row));
  }
  for (let col = cols[0] + 1; col < cols[1]; col++) {
    brush.moveTo(edgeX(col), 0);
    brush.lineTo(edgeX(col), canvas.height);
  }
  brush.stroke();
};

// Left of the line all tokens, right of it the kept ones.
const wipe = (veil) => {
  const at = Math.round(stage.wipe * canvas.width);
  brush.save();
  brush.beginPath();
  brush.rect(at, 0, canvas.width - at, canvas.height);
  brush.clip();
  overlay(() => veil, (i) => (stage.selection.mask[i] ? 0 : 255));
  brush.restore();
  const line = () => {
    brush.beginPath();
    brush.moveTo(at, 0);
    brush.lineTo(at, canvas.height);
    brush.stroke();
  };
  strokeTwice(line, 5, 2);
  brush.fillStyle = stage.inks.cell;
  brush.beginPath();
  brush.arc(at, canvas.height / 2, 8 * stage.unit, 0, 2 * Math.PI);
  brush.fill();
};

const drawScores = () => {
  const { view, opacity, selection } = stage;
  const { veil } = stage.inks;
  const heat = (i) => HEAT[Math.round(255 * stage.probabilities[i])];
  if (view === "heat") overlay(heat, () => 255 * opacity);
  if (view === "kept") overlay(() => veil, (i) => (selection.mask[i] ? 0 : 255 * opacity));
  if (view === "only") overlay(() => veil, (i) => (selection.mask[i] ? 0 : 255));
  if (view === "wipe") wipe(veil);
  if (view === "kept") outline();
  if (stage.lined) gridLines();
  if (stage.cell !== null) marker();
};

// Asked of the page once, not in every drawing: it makes the browser settle its styles and layout.
const refreshInks = () => {
  stage.inks = { veil: rgb(styleOf("--glimpse-veil")), cell: styleOf("--glimpse-cell") };
};

// The picture at the canvas' size, scaled once.
const base = make("canvas");
const rebase = () => {
  const image = stage.images[stage.active];
  stage.ready = Boolean(image && image.complete && image.naturalWidth);
  if (!stage.ready) return;
  base.width = canvas.width;
  base.height = canvas.height;
  base.getContext("2d").drawImage(image, 0, 0, base.width, base.height);
};

const redraw = () => {
  if (!stage.ready || !canvas.width || !canvas.height) return;
  if (base.width !== canvas.width || base.height !== canvas.height) rebase();
  brush.clearRect(0, 0, canvas.width, canvas.height);
  brush.drawImage(base, 0, 0);
  if (scored()) drawScores();
  stage.drawn++;
};

// As wide as the column and no higher than the window allows, in the exact proportions of the tokens shown.
const resize = () => {
  frame.dataset.filled = String(Boolean(picture()));
  if (!picture()) return;
  const { rows, area, width, height } = picture();
  const aspect = rows ? area.width / area.height : width / height;
  const room = Math.min(frame.clientWidth, Math.max(240, 0.62 * window.innerHeight) * aspect);
  const unit = Math.max(1, window.devicePixelRatio || 1);
  canvas.style.width = `${Math.round(room)}px`;
  canvas.style.height = `${Math.round(room / aspect)}px`;
  const [across, down] = [Math.round(room * unit), Math.round((room / aspect) * unit)];
  if (canvas.width !== across) canvas.width = across; // setting it wipes the canvas, so a new picture would flash
  if (canvas.height !== down) canvas.height = down;
  stage.unit = unit;
  rebase();
  redraw();
};
