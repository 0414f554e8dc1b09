"""Frames of a video file, or of a folder of pictures, spread evenly over its time. Knows no model."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from glimpse_core.errors import GlimpseError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def frames(path: str | Path, fps: float = 2.0, most: int = 32) -> tuple[list[Image.Image], float]:
    """At most `most` frames in RGB, and how many of them one second has.

    path: a video file, of which about `fps` frames per second are taken, fewer where that would be more than `most`; or
    a folder of pictures, taken in the order of their names as frames `1 / fps` seconds apart. An even number of frames
    is taken where there are several, since two make one temporal slice. Raises GlimpseError for anything else.
    """
    path = Path(path)
    if not fps > 0 or most < 1:
        raise GlimpseError(f"fps is {fps} and the most frames are {most}: both must be positive")
    if path.is_dir():
        names = sorted(name for name in path.iterdir() if name.suffix.lower() in PICTURES)
        if not names:
            raise GlimpseError(f"{path} holds no pictures ({', '.join(PICTURES)}): give a folder of frames, or a video")
        chosen = _spread(len(names), min(len(names), most))
        opened = [Image.open(names[index]).convert("RGB") for index in chosen]
        return _same_size(opened, path), fps * len(chosen) / len(names)
    if not path.is_file():
        raise GlimpseError(f"{path} does not exist: give a video file, or a folder of frames")
    return _decoded(path, fps, most)


def _decoded(path: Path, fps: float, most: int) -> tuple[list[Image.Image], float]:
    import cv2

    video = cv2.VideoCapture(str(path))
    try:
        total, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS)
        if not video.isOpened() or total < 1 or not rate > 0:
            raise GlimpseError(f"{path} cannot be read as a video: give an MP4 file, or a folder of frames")
        wanted = set(_spread(total, min(total, most, max(1, round(total / rate * fps)))))
        found = []
        for index in range(max(wanted) + 1):
            if not video.grab():  # the count in the header may be too high
                break
            if index in wanted:
                found.append(Image.fromarray(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)))
    finally:
        video.release()
    if not found:
        raise GlimpseError(f"not one frame of {path} can be decoded: convert it to MP4, or give a folder of frames")
    return found, len(wanted) * rate / total


def _spread(total: int, count: int) -> list[int]:
    """`count` of `total` places, evenly; one fewer where that is odd and more than one."""
    count -= count % 2 if count > 1 else 0
    return [int((index + 0.5) * total / count) for index in range(count)]


def _same_size(pictures: list[Image.Image], path: Path) -> list[Image.Image]:
    sizes = {picture.size for picture in pictures}
    if len(sizes) > 1:
        raise GlimpseError(f"the frames in {path} have different sizes ({sorted(sizes)}): make them equal")
    return pictures
