"""Read frames of a video file, or of a folder of images, spread evenly over its duration. Knows no model."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from glimpse_core.errors import GlimpseError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def frames(path: str | Path, fps: float = 2.0, most: int = 32) -> tuple[list[Image.Image], float]:
    """Read frames. Of several frames an even number is read, since two make one temporal slice.

    Args:
        path: a video file, or a folder of images that are frames `1 / fps` seconds apart, in the order of their names.
        fps: frames per second to take from a video file; fewer where that gives more than `most`.
        most: maximum number of frames.

    Returns:
        The frames in RGB, and the frames per second that they amount to.

    Raises:
        GlimpseError: if there is nothing to read, or it cannot be decoded.
    """
    path = Path(path)
    if not fps > 0 or most < 1:
        raise GlimpseError(f"fps is {fps} and the maximum number of frames is {most}. Expected positive numbers.")
    if path.is_dir():
        names = sorted(name for name in path.iterdir() if name.suffix.lower() in SUFFIXES)
        if not names:
            raise GlimpseError(
                f"{path} holds no images. Expected frames ({', '.join(SUFFIXES)}): give another folder, or a video."
            )
        chosen = _spread(len(names), min(len(names), most))
        opened = [Image.open(names[index]).convert("RGB") for index in chosen]
        return _same_size(opened, path), fps * len(chosen) / len(names)
    if not path.is_file():
        raise GlimpseError(f"{path} does not exist. Expected a video file, or a folder of frames: give one.")
    return _decoded(path, fps, most)


def _decoded(path: Path, fps: float, most: int) -> tuple[list[Image.Image], float]:
    import cv2

    video = cv2.VideoCapture(str(path))
    try:
        total, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS)
        if not video.isOpened() or total < 1 or not rate > 0:
            raise GlimpseError(
                f"{path} cannot be read as a video. Expected an MP4 file, or a folder of frames: give one."
            )
        chosen = set(_spread(total, min(total, most, max(1, round(total / rate * fps)))))
        found = []
        for index in range(max(chosen) + 1):
            if not video.grab():  # the count in the header may be too high
                break
            if index in chosen:
                found.append(Image.fromarray(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)))
    finally:
        video.release()
    if not found:
        raise GlimpseError(
            f"No frame of {path} can be decoded. Expected a video that OpenCV reads: convert it to MP4, or give a "
            "folder of frames."
        )
    return found, len(chosen) * rate / total


def _spread(total: int, count: int) -> list[int]:
    """Return `count` of `total` indices, evenly spread; one fewer if `count` is odd and more than one."""
    count -= count % 2 if count > 1 else 0
    return [int((index + 0.5) * total / count) for index in range(count)]


def _same_size(images: list[Image.Image], path: Path) -> list[Image.Image]:
    sizes = {image.size for image in images}
    if len(sizes) > 1:
        raise GlimpseError(f"The frames in {path} have different sizes ({sorted(sizes)}). Expected frames of one size.")
    return images
