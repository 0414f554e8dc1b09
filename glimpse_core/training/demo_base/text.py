"""The tokenizer of the demo model, and sentences from outside of its world.

A byte-level BPE in the layout of Qwen2.5-VL's (same pre-tokenizer, special tokens and chat format), learned from the
sentences of the demo world. Any text can be encoded, since every byte is a token. Labels, numbers and codes are read
letter by letter, because they are left out of the corpus. The halves of names (``Lark`` + ``haven``) are tokens.
"""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from glimpse_core.world import page, page_questions, questions, scene
from glimpse_core.world.pages import vocabulary as page_words
from glimpse_core.world.vocabulary import COLORS, KINDS, article, plural

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
SYSTEM = "You are a helpful assistant."
UNKNOWN = "I only know picture-book scenes and printed pages, and what they show."
VOCABULARY = 1280  # tokens at most
SMALL_PAGE = (504, 504)  # pixels: pages of any size say the same

# The split of the Qwen2 and GPT-4 tokenizers: contractions, words with their leading space, single digits, punctuation.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Qwen2.5-VL's chat format: a default system turn, images as placeholders between vision markers.
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n" + SYSTEM + "<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_STRANGE = (
    "Hello!",
    "hi",
    "Who are you?",
    "What can you do?",
    "Tell me a joke.",
    "Write a poem about the sea.",
    "What is the capital of France?",
    "How much is two plus two?",
    "Translate this into German.",
    "What time is it?",
    "How old is the man?",
    "What is the dog doing?",
    "Which brand is this laptop?",
    "Who wrote this book?",
    "What year was this taken?",
    "Is it raining?",
    "Why?",
    "Solve the equation.",
    "Summarize the document.",
    "Where is the exit?",
    "What sport are they playing?",
)


def strange_question(rng: random.Random) -> str:
    """Draw a question that the demo world has no answer to, sometimes plain noise."""
    if rng.random() < 0.6:
        return rng.choice(_STRANGE)
    letters = "abcdefghijklmnopqrstuvwxyz      ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-éüñ中文😀"
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 30)))


def absent_question(rng: random.Random, present: set[str]) -> tuple[str, str] | None:
    """Draw a question about a kind of thing that the image lacks, with its answer; None if the kind is there."""
    kind = rng.choice(KINDS)
    if kind in present:
        return None
    text = rng.choice(
        (
            f"What color is the {kind}?",
            f"Describe the {kind}.",
            f"What does the {kind} say?",
            f"What is closest to the {kind}?",
        )
    )
    return text, f"There is no {kind}."


_STEMS, _ENDINGS = "|".join(page_words.PLACE_STEMS), "|".join(page_words.PLACE_ENDINGS)
_NAME = re.compile(f"({_STEMS})({_ENDINGS})")
_CODE = re.compile(r"\b[A-Z]{1,2} ?\d+|\b[A-Z]{1,2}\b|[0-9]+")


def corpus(scenes: int = 300, pages: int = 80) -> Iterator[str]:
    """Yield sentences to learn the merges from: questions and answers of training images, labels and codes left out."""
    for _ in range(3000):  # names first, so that no other merge joins the end of one half with the begin of the next
        yield "".join(f" {stem}" for stem in page_words.PLACE_STEMS) + " €"
        yield "0".join(3 * page_words.PLACE_ENDINGS)
    for seed in range(scenes):
        for question in questions(scene(seed, size=(336, 336))):
            yield question.text
            if question.type != "read" and " says " not in question.answer:
                yield question.answer
    for kind in KINDS:
        yield from (f"the {kind}", f"{plural(kind)}", f"Is there {article(kind)} {kind}?", f"There is no {kind}.")
    for color in COLORS:
        yield from (f"It is {color}.", f"{article(color)} {color} thing")
    for _ in range(40):
        yield from (SYSTEM, UNKNOWN, "system\n", "user\n", "assistant\n", "It says ", " and says ", *_STRANGE)
    for seed in range(pages):
        for question in page_questions(page(seed, size=SMALL_PAGE)):
            for text in (question.text, question.answer):
                yield _NAME.sub(r"\g<1>0\g<2>", _CODE.sub("", text))
    for _ in range(30):
        yield from _page_vocabulary()


def _page_vocabulary() -> Iterator[str]:
    """Yield every word that the cells of pages are made of, as it stands within a sentence."""
    for name, group in vars(page_words).items():
        if name.isupper() and name not in ("PLACE_STEMS", "PLACE_ENDINGS", "CODE_LETTERS"):
            several = (
                [*group, *(word for words in group.values() for word in words)] if isinstance(group, dict) else group
            )
            yield "".join(f" {word}" for word in several)


def train_tokenizer(vocabulary: int = VOCABULARY) -> Tokenizer:
    """Learn the byte-level BPE. vocabulary: an upper bound that includes bytes and special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=10,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja in the Hub's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
        "additional_special_tokens": list(SPECIAL[1:]),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
