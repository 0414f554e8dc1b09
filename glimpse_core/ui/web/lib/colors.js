// The one color map of the page. Cividis: evenly bright steps that people with any color vision order alike.

/** @type {readonly (readonly [number, number, number])[]} */
export const STOPS = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115],
  [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [253, 231, 55],
];

/**
 * Red, green and blue, 0 to 255, of a share from 0 to 1.
 * @param {number} share
 * @returns {[number, number, number]}
 */
export const heatColor = (share) => {
  const place = Math.min(1, Math.max(0, share)) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  const [from, to] = [STOPS[low], STOPS[low + 1]];
  const mix = (/** @type {0 | 1 | 2} */ i) => Math.round(from[i] + (to[i] - from[i]) * (place - low));
  return [mix(0), mix(1), mix(2)];
};

const MOST = 0.75; // of the picture is covered at the most: it shows through everywhere

/**
 * How much a heat map covers of the picture: nothing where a token does not matter, so that the picture shows there. The
 * root lifts the middle, which would else be told from nothing by its color alone.
 * @param {number} share @param {number} opacity of the overlay, 0 to 1
 */
export const heatAlpha = (share, opacity) => MOST * opacity * Math.sqrt(Math.min(1, Math.max(0, share)));

/**
 * The heat map's 256 colors, red, green, blue and alpha in a row.
 * @param {number} opacity
 */
export const heatTable = (opacity) => {
  const table = new Uint8ClampedArray(4 * 256);
  for (let i = 0; i < 256; i++) table.set([...heatColor(i / 255), 255 * heatAlpha(i / 255, opacity)], 4 * i);
  return table;
};
