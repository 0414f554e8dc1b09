"""Reports of comparisons: tables, curves and the worst cases, as Markdown, CSV and one self-contained HTML page."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from glimpse_core.errors import GlimpseError
from glimpse_core.evaluation import store
from glimpse_core.evaluation.report import figures, horizon, tables
from glimpse_core.evaluation.report.rows import summarize
from glimpse_core.evaluation.report.worst import Case, focus, worst
from glimpse_core.media import plots, sheets

TITLE = "Comparison of pruning methods"


@dataclass(frozen=True)
class Report:
    """The summaries of one or several runs, and the worst cases of each."""

    summaries: list[dict[str, Any]]
    labels: list[str | None]
    cases: list[list[Case]]

    @classmethod
    def of(cls, folders: Sequence[Path], label: str | None = None, count: int = 6) -> Report:
        """label: the cell whose worst cases are shown, `count` of them per run. Raises GlimpseError."""
        if len({folder.resolve().name for folder in folders}) < len(folders):
            raise GlimpseError(
                "Two runs have folders of the same name. Expected different ones, since the report goes by them: "
                "rename one."
            )
        summaries = [summarize(folder.resolve()) for folder in folders]
        labels = [focus(summary["header"], label) for summary in summaries]
        cases = [
            worst(*store.read(folder), chosen, count) if chosen else []
            for folder, chosen in zip(folders, labels, strict=True)
        ]
        return cls(summaries, labels, cases)

    def write(self, folder: Path) -> list[Path]:
        """Write report.md, report.csv, report.html, summary.json, the curves and the worst cases' images."""
        written = []

        def put(name: str, content: bytes | str) -> None:
            data = content.encode("utf-8") if isinstance(content, str) else content
            sheets.write(folder / name, data)
            written.append(folder / name)

        for summary, cases in zip(self.summaries, self.cases, strict=True):
            for name, figure in figures.curves(summary).items():
                put(f"{self._file(summary, name)}.png", plots.png(figure))
                put(f"{self._file(summary, name)}.svg", plots.svg(figure))
            for number, case in enumerate(cases, 1):
                if case.image:
                    put(f"{self._file(summary, f'worst_{number}')}.png", sheets.png(case.image))
        put("report.md", self.markdown())
        put("report.csv", tables.csv_text(self.summaries))
        put("report.html", self.html())
        put("summary.json", json.dumps([public(summary) for summary in self.summaries], indent=1) + "\n")
        return written

    def markdown(self) -> str:
        """Everything but the curves' data; images are the files that `write` puts beside it."""
        parts = [f"# {TITLE}\n"]
        if len(self.summaries) > 1:
            parts.append(tables.markdown(tables.together(self.summaries)))
        for summary, label, cases in zip(self.summaries, self.labels, self.cases, strict=True):
            parts.append(f"## {tables.plain(summary['name'])}\n\n{tables.plain(heading(summary))}\n")
            parts += map(tables.markdown, tables_of(summary))
            parts += [
                f"![{name.replace('_', ' ')}]({self._file(summary, name)}.png)\n" for name in figures.curves(summary)
            ]
            if label and cases:
                parts.append(f"### Worst cases of {tables.plain(label)}\n")
            parts += [self._case(summary, number, case) for number, case in enumerate(cases, 1)]
        return "\n".join(parts)

    def html(self) -> str:
        """One page that needs no other file. Everything but our own drawings is escaped."""
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
        )
        runs = [
            {
                "name": summary["name"],
                "heading": heading(summary),
                "tables": tables_of(summary),
                "curves": [_inline(plots.svg(figure)) for figure in figures.curves(summary).values()],
                "focus": label,
                "cases": [_shown(case) for case in cases],
            }
            for summary, label, cases in zip(self.summaries, self.labels, self.cases, strict=True)
        ]
        together = tables.together(self.summaries) if len(self.summaries) > 1 else None
        return environment.get_template("page.html").render(title=TITLE, together=together, runs=runs)

    def _file(self, summary: dict[str, Any], name: str) -> str:
        """Names of files say the run where there are several."""
        return name if len(self.summaries) == 1 else f"{_safe(summary['name'])}_{name}"

    def _case(self, summary: dict[str, Any], number: int, case: Case) -> str:
        shown = _shown(case, image=False)
        lines = [f"![kept tokens]({self._file(summary, f'worst_{number}')}.png)\n"] if case.image else []
        texts = (("Question", "question"), ("Accepted", "expected"), ("All tokens", "full"), (shown["kept"], "answer"))
        return "\n".join([*lines, *(f"- {title}: {tables.plain(shown[name])}" for title, name in texts)]) + "\n"


def tables_of(summary: dict[str, Any]) -> list[tables.Table]:
    """All tables of one run, that of the horizon where it has one."""
    return [*tables.for_summary(summary), *filter(None, [horizon.table(summary)])]


def heading(summary: dict[str, Any]) -> str:
    """One paragraph on what was run."""
    header = summary["header"]
    task, plan = header["task"], header["plan"]
    part = "" if summary["count"] == summary["planned"] else f" of {summary['planned']} (not finished)"
    held_out = {True: ", held out", False: ", for tuning, not held out", None: ""}[task.get("held_out")]
    evidence = (
        "" if summary["evidence"] is None else f", {summary['evidence']:.1%} of them evidence where there is some"
    )
    sentences = (
        f"{summary['count']}{part} questions of {task['task']} (seed {task['seed']}{held_out})",
        f"model {Path(plan['model']).name} (weights {header['weights']})",
        f"metric {header['metric']['metric']}, greedy decoding",
        f"mean {summary['visual']:.0f} visual tokens{evidence}",
        *_scored(header),
        f"budgets match the {plan['match']} share",
        f"caches and positions: {plan['policy']}",
    )
    return "; ".join(sentences) + "."


def _scored(header: dict[str, Any]) -> tuple[str, str]:
    """How tokens are chosen, and after which layer they are dropped."""
    dropped = f"tokens dropped after layer {header['keep_layer']} of 0 to {header['layers'] - 1}"
    if "scores" in header:  # of a model without glimpse modules only
        return f"no glimpse modules: training-free scores at layer {header['scores']['layer']}", dropped
    return f"GlimpsePrune's threshold {header['plan']['selection']['threshold']:g}", f"its {dropped}"


def public(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary without places on this machine: what was asked stays in `header.task`."""
    plan = {name: value for name, value in summary["header"]["plan"].items() if name != "task"}
    hidden = {name: Path(plan[name]).name for name in ("model", "glimpse") if plan[name]}
    return summary | {"header": summary["header"] | {"plan": plan | hidden}}


def _shown(case: Case, image: bool = True) -> dict[str, str]:
    source = ""
    if image and case.image:
        source = "data:image/png;base64," + base64.b64encode(sheets.png(case.image)).decode()
    return {
        "image": source,
        "type": case.entry["type"] or "-",
        "question": case.entry["question"],
        "expected": " / ".join(dict.fromkeys(case.entry["expected"])),
        "full": case.full["answer"],
        "kept": f"kept {case.kept}",
        "answer": case.own["answer"],
    }


def _inline(svg: str) -> str:
    """The drawing alone, without the head of a file, and with ids of its own."""
    return svg[svg.index("<svg") :]


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
