"""Fill in the tables and figures of the documentation from the files in `assets` and from the code.

    python -m docs.tables            # rewrite what is out of date: the documentation, and the tables in `assets`
    python -m docs.tables --check    # exit code 1 if a file is out of date

A table stands on lines of its own between `<!-- table: NAME -->` and `<!-- /table -->`; NAME is one of `TABLES`. A
figure within a sentence stands between `<!--= NAME -->` and `<!--/-->`; `docs/figures.py` has the names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from docs import diagram
from docs.figures import figures, percent
from docs.sources import ROOT, accuracy_left, bench, comparison, contenders, demo, sweep, words

REGION = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)
FIGURE = re.compile(r"(<!--= (\S+) -->).*?(<!--/-->)", re.DOTALL)


def documents() -> list[Path]:
    """The files that are filled in."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "assets" / "demo" / "TRAINING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def rendered() -> dict[Path, str]:
    """The tables that stand beside the JSON files in `assets`, as the commands that wrote them print them today."""
    from glimpse_core.bench.tables import markdown as bench_table
    from glimpse_core.evaluation.report.deletion import markdown as words_table
    from glimpse_core.evaluation.report.sweep import markdown as sweep_table
    from glimpse_core.evaluation.report.variants import markdown as demo_table

    return {
        ROOT / "assets" / "results" / "demo.md": demo_table(demo()),
        ROOT / "assets" / "results" / "words.md": words_table(words()),
        ROOT / "assets" / "results" / "bench-small.md": bench_table(bench()),
        ROOT / "assets" / "sweep" / "sweep.md": sweep_table(list(sweep().values())),
    }


def filled(text: str) -> str:
    """The text with all its tables and figures up to date. Raises KeyError for a name that does not exist."""
    text = REGION.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)
    return FIGURE.sub(lambda found: f"{found[1]}{figures()[found[2]]}{found[3]}", text)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table. left: how many columns are words, aligned to the left; the others are numbers."""
    rule = [":---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


# ------------------------------------------------------------------------------------------------ results


def _table_beside(*parts: str) -> str:
    """The table of one of the `rendered` files."""
    text = rendered()[ROOT.joinpath("assets", *parts)]
    return "\n".join(line for line in text.splitlines() if line.startswith("|"))


SHORT = ("glimpse", "fastv", "pyramiddrop", "dart", "divprune", "visionzip", "vscan", "cdpruner", "mmtok", "random",
         "attention")  # fmt: skip


def all_methods() -> str:
    """Every method at every budget, with intervals."""
    head, *rows = accuracy_left().values()
    return markdown(head, [[cell.replace(", ", ",\N{NO-BREAK SPACE}") for cell in row] for row in rows])


def published_methods() -> str:
    """The published methods and two controls at given budgets, without intervals."""
    found = accuracy_left()
    head = next(iter(found.values()))
    rows = [[cell.split(" [")[0] for cell in found[name]] for name in SHORT]
    return markdown(head[:-1], [row[:-1] for row in rows])


def costs() -> str:
    """Accuracy and cost of the runs that the results page discusses."""
    labels = ("glimpse@dynamic", "attention@dynamic", "fastv@11.1%", "divprune@11.1%", "mmtok@11.1%",
              "divprune:50%+glimpse@dynamic", "mmtok:50%+glimpse@dynamic")  # fmt: skip
    rows = comparison()
    lines = []
    for label in labels:
        row = rows[label]
        shares = (row["share"], row["kv"], row["flops"], row["seconds_share"])
        lines.append((accuracy_left()[row["method"]][0], str(row["budget"]), *map(percent, shares)))
    return markdown(("method", "budget", "accuracy", "KV cache", "prefill FLOPs", "time to first token"), lines, 2)


GOALS = (
    ("keep-all, our path", "keeping all tokens, this library", 1.03),
    ("glimpse + VIP alone", "glimpse token and predictor alone", 0.04),
    ("glimpse at 7.0%", "pruned prefill, 7% of the tokens kept", 0.80),
    ("both answers, one trunk", "first tokens of both answers, one shared prefill", 1.15),
    ("both answers, two runs", "first tokens of both answers, two runs", None),
)


def speed() -> str:
    lines = []
    for name, title, goal in GOALS:
        ratio = contenders()[name]["ratio"]
        measured = f"{ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"
        verdict = "" if goal is None else "reached" if ratio["median"] <= goal else "missed"
        lines.append((title, measured, "" if goal is None else f"{goal:.2f}", verdict))
    return markdown(("", "share of plain `generate` (quartiles)", "goal", ""), lines)


# ------------------------------------------------------------------------------------------------ from the code


def models() -> str:
    from glimpse_core.models.entries import ENTRIES

    lines = []
    for entry in ENTRIES.values():
        base, glimpse = (entry.base, entry.glimpse) if entry.is_download else ("assets/demo", "assets/demo/glimpse")
        modules = f"`{glimpse}`" if glimpse else "not released"
        lines.append((f"`{entry.name}`", f"`{base}`", modules, _size(entry.parameters), _bfloat16(entry.parameters)))
    return markdown(("name", "base model", "glimpse modules", "parameters", "weights in bfloat16"), lines, 3)


def _size(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} billion" if parameters > 1e9 else f"{parameters / 1e6:.1f} million"


def _bfloat16(parameters: int) -> str:
    size = 2 * parameters
    return f"{size / 1e9:.0f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"


def commands() -> str:
    from glimpse_core.__main__ import COMMANDS

    return markdown(("command", "what it does"), [(f"`{name}`", text) for name, text in COMMANDS.items()], 2)


def make_targets() -> str:
    found = re.findall(r"^([a-z-]+):.*?## (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return markdown(("target", "what it does"), [(f"`make {name}`", text) for name, text in found], 2)


def settings() -> str:
    from glimpse_core.glimpse.settings import FIELDS, LENGTH

    lines = [
        (f"`{field.name}`", field.help.replace("|", "\\|"), f"`{field.example}`", f"`{field.key}`")
        for field in (*FIELDS, LENGTH)
    ]
    return markdown(("setting", "meaning", "example", "in links"), lines, 4)


def packages() -> str:
    lines = [(f"`{name}`", diagram.summary(name)) for layer in diagram.layers() for name in layer]
    return markdown(("package", "what it is for"), lines, 2)


def training_costs() -> str:
    """Calculated costs of training glimpse modules on the published bases; `docs/training.md` has the assumptions."""
    from docs.training_cost import TFLOPS, question_flops, shapes
    from glimpse_core.models.entries import ENTRIES

    lines = []
    for name, shape in shapes().items():
        one, run = question_flops(shape), 20_000 * question_flops(shape)
        minutes = run / (TFLOPS * 1e12) / 60
        weights = _bfloat16(ENTRIES[name].parameters)
        lines.append((f"`{name}`", f"{one / 1e12:.1f}", f"{run / 1e15:.0f} PFLOPs", f"{minutes:.0f} min", weights))
    return markdown(("base", "TFLOPs per question", "20,000 questions", "one A100", "weights in bfloat16"), lines)


def plus_costs() -> str:
    """Calculated costs of GlimpsePrune+ on Qwen2.5-VL-7B; `docs/training.md` has the assumptions."""
    from docs.training_cost import EVIDENCE, PLUS_PROMPTS, TFLOPS, plus_flops, shapes

    shape, lines = shapes()["qwen2.5-vl-7b"], []
    for title, share in (("`boxes`", EVIDENCE), ("`glimpse`", 0.111), ("`full`", 1.0)):
        one = plus_flops(shape, share, recompute=True)
        hours = PLUS_PROMPTS * one / (TFLOPS * 1e12) / 3600
        gpus = (f"{hours / count:.1f} h" for count in (1, 4, 8))
        lines.append((title, f"{share:.1%}", f"{one / 1e12:.0f}", *gpus))
    return markdown(("`--mask`", "kept", "TFLOPs per prompt", "1 GPU", "4 GPUs", "8 GPUs"), lines)


TABLES: dict[str, Callable[[], str]] = {
    "results/demo": lambda: _table_beside("results", "demo.md"),
    "results/words": lambda: _table_beside("results", "words.md"),
    "results/sweep": lambda: _table_beside("sweep", "sweep.md"),
    "results/comparison": all_methods,
    "results/published": published_methods,
    "results/costs": costs,
    "results/speed": speed,
    "results/times": lambda: _table_beside("results", "bench-small.md"),
    "models": models,
    "commands": commands,
    "make": make_targets,
    "packages": packages,
    "settings": settings,
    "training/costs": training_costs,
    "training/plus": plus_costs,
}


def outdated() -> dict[Path, str]:
    """The files that are not up to date, with what they should hold."""
    expected = {path: filled(path.read_text(encoding="utf-8")) for path in documents()} | rendered()
    return {path: text for path, text in expected.items() if path.read_text(encoding="utf-8") != text}


def main(argv: Sequence[str]) -> int:
    check, found = "--check" in argv, outdated()
    for path, text in found.items():
        print(f"{path.relative_to(ROOT)}: {'out of date; run python -m docs.tables' if check else 'updated'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
