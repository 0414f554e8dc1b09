"""``python -m glimpse_core doctor``: what would be loaded, from where, and what stands in the way."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="say what would be loaded, and what stands in the way",
        description="Check a model without loading or downloading it. Exit code 1 if something stands in the way.",
    )
    parser.add_argument("--model", default="demo", help="catalog name, folder or Hub name[@revision] (default demo)")
    parser.add_argument("--glimpse", help="folder or Hub name of glimpse modules; default is the catalog's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", help="auto, float32, float16 or bfloat16")
    parser.add_argument("--attn", default="auto", help="auto, sdpa, eager or flash_attention_2")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from glimpse_core.models.doctor import examine

    report = examine(args.model, args.glimpse, args.device, args.dtype, args.attn)
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        print("\n".join(f"{name:12}{text}" for name, text in lines(report)))
    return 0 if report["ok"] else 1


def lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The findings in words."""
    device, base, glimpse, hub = (report[name] for name in ("device", "base", "glimpse", "hub"))
    installed = [f"{name} {version}" for name, version in report["versions"].items() if version]
    missing = [name for name, version in report["versions"].items() if not version]
    said = [("versions", ", ".join(installed) + (f"; not installed: {', '.join(missing)}" if missing else ""))]
    if device:
        said.append(("device", f"{device['name']} ({device['title']}), {device['dtype']}, attention {device['attn']}"))
        said.append(("memory", f"{gigabytes(device['free'])} free of {gigabytes(device['total'])}"))
    if base:
        said.append(("base", place(base)))
        said.append(("", describe(base)))
    if glimpse:
        said.append(("glimpse", place(glimpse)))
        if glimpse.get("fits"):
            said.append(
                ("", f"{millions(glimpse['parameters'])}, K = {glimpse['keep_layer']}; they fit the base model")
            )
    elif base and not report["problems"]:
        said.append(("glimpse", "none: the model answers, but cannot prune by itself"))
    token = "with a token" if hub["token"] else "without a token"
    said.append(("hub", "offline mode" if hub["offline"] else f"{hub['endpoint']}, {token}; cache {hub['cache']}"))
    said += [("problem", text) for text in report["problems"]] or [("", "Nothing stands in the way.")]
    return said


def place(part: dict[str, Any]) -> str:
    """ "owner/model, from the cache" """
    how = {
        "folder": "a local folder",
        "cache": f"from the cache ({part['folder']})",
        "download": "to be downloaded when it is loaded",
    }
    return f"{part['place']}, {how[part['from']]}"


def describe(base: dict[str, Any]) -> str:
    """Type, size and memory of the base model, as far as they are known."""
    if not base["parameters"]:
        return "its size is known when it is downloaded"
    said = f"{base['model_type'] or 'base model'}, {millions(base['parameters'])}"
    if "weight_bytes" in base:
        said += f", {gigabytes(base['weight_bytes'])} of memory for the weights"
    if "cache_bytes_per_1000_tokens" in base:
        said += f", {base['cache_bytes_per_1000_tokens'] / 1e6:,.0f} MB for the cache of 1,000 prompt tokens"
    return said


def gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def millions(count: float) -> str:
    return f"{count / 1e6:,.1f} M parameters"
