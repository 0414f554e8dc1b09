// Numbers with their units, as ui/units.py writes them. A value that is not known is a dash.

export const MISSING = "–";

/** @typedef {(value: number | null | undefined) => string} Write */

/** @param {number} value @param {readonly string[]} units @param {number} step */
const scaled = (value, units, step) => {
  let at = 0;
  for (; value >= step && at < units.length - 1; at++) value /= step;
  return `${at === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[at]}`;
};

/** @param {readonly string[]} units @param {number} step @returns {Write} */
const writer = (units, step) => (value) => (value === null || value === undefined ? MISSING : scaled(value, units, step));

export const bytesText = writer(["B", "KiB", "MiB", "GiB", "TiB"], 1024);
export const flopsText = writer(["FLOPs", "KFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs"], 1000);

/** @type {Write} milliseconds */
export const timeText = (ms) => {
  if (ms === null || ms === undefined) return MISSING;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms > 0 && ms < 10 ? 1 : 0)} ms`;
};

/** @type {Write} */
export const countText = (value) => (value === null || value === undefined ? MISSING : value.toLocaleString("en"));

/** A share of 0 to 1, such as 4.3%. @type {Write} */
export const shareText = (share) => (share === null || share === undefined ? MISSING : `${(100 * share).toFixed(1)}%`);
