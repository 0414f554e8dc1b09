"""The words of the pages: a few hundred, all of them generic or made up here, no names of persons.

Names are put together from two pieces each (``Lark`` + ``haven``, ``plum`` + ``cake``), so that few words make many
names, and names that differ in one piece stand on the same page. This file knows nothing of pixels or questions.
"""

PLACE_STEMS = (
    "Lark", "Wind", "Elm", "Stone", "Cedar", "Copper", "Birch", "Marsh", "Frost", "Heron",
    "Iron", "Maple", "Pine", "Quill", "Salt", "Silver", "Thorn", "Moss", "Otter", "Fox",
)  # fmt: skip
PLACE_ENDINGS = ("haven", "moor", "ford", "wick", "dale", "port", "mere", "gate")

FLAVORS = (
    "apple", "bean", "beet", "berry", "carrot", "cheese", "cherry", "ginger", "leek", "lemon", "lentil", "mint",
    "mushroom", "nut", "onion", "pear", "pepper", "plum", "potato", "pumpkin", "rice", "spinach", "tomato",
)  # fmt: skip
COURSES: dict[str, tuple[str, ...]] = {
    "soups": ("soup", "broth"),
    "salads": ("salad",),
    "mains": ("pie", "stew", "curry", "noodles", "dumplings"),
    "desserts": ("cake", "tart", "pudding", "crumble"),
    "drinks": ("juice", "tea", "soda"),
}
SWEET = ("apple", "berry", "carrot", "cherry", "ginger", "lemon", "mint", "nut", "pear", "plum", "pumpkin")
SAVORY = tuple(flavor for flavor in FLAVORS if flavor not in ("berry", "cherry", "plum", "mint", "lemon", "ginger"))
TAGS = ("vegan", "spicy", "new", "warm", "cold")
OFFERS = ("new", "reduced", "local", "used")

MATERIALS = (
    "red", "blue", "green", "white", "wooden", "paper", "cotton", "wool", "steel", "copper", "glass", "cork",
)  # fmt: skip
GOODS: dict[str, tuple[str, ...]] = {
    "kitchen": ("mug", "bowl", "kettle", "spoon", "jar", "tray"),
    "home": ("candle", "lamp", "blanket", "towel", "clock", "basket"),
    "garden": ("bucket", "rope", "ladder", "hook", "brush", "pot"),
    "desk": ("pencil", "notebook", "stamp", "ruler", "folder", "box"),
}

CLUB_PLACES = (
    "River", "Hill", "Lake", "Harbor", "Forest", "Valley", "Island", "Meadow", "Castle", "Bridge", "Canyon", "Prairie",
)  # fmt: skip
CLUB_ANIMALS = (
    "Foxes", "Owls", "Otters", "Herons", "Badgers", "Rockets", "Comets", "Sparks", "Waves", "Arrows", "Bears", "Hawks",
)  # fmt: skip
SEASONS = ("Spring", "Summer", "Autumn", "Winter")
EVENTS = ("Cup", "League", "Regatta", "Relay", "Quiz", "Games")

SIGN_COLORS = ("Copper", "Blue", "Little", "Golden", "Quiet", "Silver", "Green", "Round", "Old", "Paper")
SIGN_THINGS = ("Kettle", "Lantern", "Spoon", "Table", "Anchor", "Garden", "Oven", "Bridge", "Clock", "Feather")

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
COLOR_WORDS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
SIZES = ("small", "medium", "large")
PAYMENTS = ("cash", "card", "transfer", "voucher")
DELIVERIES = ("pickup", "by post", "by boat", "by bike")
CODE_LETTERS = "ACEFHJKMNPRTXY"  # those that no digit looks like
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
