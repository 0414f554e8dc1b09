"""Pages of the demo world: boards, menus, receipts, timetables, forms and results, with ground truth and questions."""

from glimpse_core.world.pages.page import PAGE_KINDS, Cell, Page, page
from glimpse_core.world.pages.questions import LOOK_UP_TYPES, PAGE_TYPES, held_out_page, page_item, page_questions

__all__ = [
    "LOOK_UP_TYPES",
    "PAGE_KINDS",
    "PAGE_TYPES",
    "Cell",
    "Page",
    "held_out_page",
    "page",
    "page_item",
    "page_questions",
]
