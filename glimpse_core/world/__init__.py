"""The demo world: drawn scenes and pages, questions about them, and the boxes that answer those."""

from glimpse_core.world.pages import (
    LOOK_UP_TYPES,
    PAGE_KINDS,
    PAGE_TYPES,
    Cell,
    Page,
    held_out_page,
    page,
    page_item,
    page_questions,
)
from glimpse_core.world.question import Question, Span
from glimpse_core.world.questions import ONE_OBJECT_TYPES, TYPES, held_out, held_out_item, questions
from glimpse_core.world.scene import HELD_OUT, Scene, Thing, scene

__all__ = [
    "HELD_OUT",
    "LOOK_UP_TYPES",
    "ONE_OBJECT_TYPES",
    "PAGE_KINDS",
    "PAGE_TYPES",
    "TYPES",
    "Cell",
    "Page",
    "Question",
    "Scene",
    "Span",
    "Thing",
    "held_out",
    "held_out_item",
    "held_out_page",
    "page",
    "page_item",
    "page_questions",
    "questions",
    "scene",
]
