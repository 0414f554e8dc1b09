// Loads the pictures of the state by their addresses.

/** @import { App, State } from "../types" */

/**
 * Loads what is not loaded yet, and says so when it is.
 * @param {App} app @param {(failed: boolean) => void} report whether the newest load has failed
 */
export const loadPictures = ({ store }, report) => {
  /** @type {Map<string, HTMLImageElement>} */
  const loading = new Map();

  const take = (/** @type {string} */ src, /** @type {HTMLImageElement} */ image) => {
    loading.delete(src);
    store.get().pictures.forEach((picture, index) => {
      if (picture.src === src && store.get().images[index] !== image) store.dispatch({ type: "image", index, image });
    });
  };

  const load = (/** @type {string} */ src) => {
    if (loading.has(src)) return;
    const image = new Image();
    loading.set(src, image);
    image.onload = () => take(src, image);
    image.onerror = () => {
      loading.delete(src);
      if (store.get().pictures.some((picture) => picture.src === src)) report(true);
    };
    image.src = src;
  };

  store.watch(
    (state) => [state.pictures],
    ({ pictures, images }) => {
      report(false);
      pictures.forEach(({ src }, index) => src && !images[index] && load(src));
    },
  );
};
