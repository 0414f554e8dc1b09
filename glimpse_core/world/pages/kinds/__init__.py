"""The kinds of pages, one file each: what such a page says."""

from collections.abc import Callable
from random import Random

from glimpse_core.world.pages.content import Content, Room
from glimpse_core.world.pages.kinds.departures import departures
from glimpse_core.world.pages.kinds.form import form
from glimpse_core.world.pages.kinds.menu import menu
from glimpse_core.world.pages.kinds.receipt import receipt
from glimpse_core.world.pages.kinds.results import results
from glimpse_core.world.pages.kinds.timetable import timetable

KINDS: dict[str, Callable[[Random, Room], Content]] = {
    "departures": departures,
    "menu": menu,
    "receipt": receipt,
    "timetable": timetable,
    "form": form,
    "results": results,
}
