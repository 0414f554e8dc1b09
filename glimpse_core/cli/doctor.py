"""``python -m glimpse_core doctor``: what would be loaded, from where, and which problems there are."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `doctor` and its options."""
    parser = subparsers.add_parser(
        "doctor",
        help="report what would be loaded, and problems",
        description="Check a model without loading or downloading it. Exit code 1 if there is a problem.",
    )
    parser.add_argument("--model", default="demo", help="catalog name, folder or Hub name[@revision] (default demo)")
    parser.add_argument("--glimpse", help="folder or Hub name of glimpse modules, or none; default is the catalog's")
    parser.add_argument("--adapter", help="folder or Hub name of a LoRA adapter; default is the catalog's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", help="auto, float32, float16 or bfloat16")
    parser.add_argument("--attn", default="auto", help="auto, sdpa, eager or flash_attention_2")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what would be loaded, and problems.

    Returns:
        The exit code: 0 without problems, else 1.
    """
    from glimpse_core.models.doctor import examine

    report = examine(args.model, args.glimpse, args.device, args.dtype, args.attn, args.adapter)
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        print("\n".join(f"{name:12}{text}" for name, text in lines(report)))
    return 0 if report["ok"] else 1


def lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the findings as (title, text), one entry per line; a continued line has an empty title.

    Args:
        report: of `models.doctor.examine`.
    """
    device, base, glimpse, hub = (report[name] for name in ("device", "base", "glimpse", "hub"))
    installed = [f"{name} {version}" for name, version in report["versions"].items() if version]
    missing = [name for name, version in report["versions"].items() if not version]
    found = [("versions", ", ".join(installed) + (f"; not installed: {', '.join(missing)}" if missing else ""))]
    if device:
        found.append(("device", f"{device['name']} ({device['title']}), {device['dtype']}, attention {device['attn']}"))
        found.append(("memory", f"{gigabytes(device['free'])} free of {gigabytes(device['total'])}"))
    if base:
        found.append(("base", origin(base)))
        found.append(("", describe(base)))
    if glimpse:
        found.append(("glimpse", origin(glimpse)))
        if glimpse.get("fits"):
            found.append(
                ("", f"{millions(glimpse['parameters'])}, K = {glimpse['keep_layer']}; they fit the base model")
            )
    elif base and not report["problems"]:
        found.append(("glimpse", "none: tokens are scored by attention, without training"))
    adapter = report["adapter"]
    if adapter:
        found.append(("adapter", origin(adapter)))
        if "rank" in adapter:
            size = f"{millions(adapter['parameters'])}, rank {adapter['rank']}"
            found.append(("", f"LoRA, {size}; it fits the base model"))
    token = "with a token" if hub["token"] else "without a token"
    found.append(("hub", "offline mode" if hub["offline"] else f"{hub['endpoint']}, {token}; cache {hub['cache']}"))
    found += [("problem", text) for text in report["problems"]] or [("", "No problems found.")]
    return found


def origin(part: dict[str, Any]) -> str:
    """Return where a part comes from, such as "owner/model, from the cache (folder)"."""
    how = {
        "folder": "a local folder",
        "cache": f"from the cache ({part['folder']})",
        "download": "to be downloaded when it is loaded",
    }
    return f"{part['place']}, {how[part['from']]}"


def describe(base: dict[str, Any]) -> str:
    """Return type, size and memory of the base model, as far as they are known."""
    if not base["parameters"]:
        return "size unknown until it is downloaded"
    text = f"{base['model_type'] or 'base model'}, {millions(base['parameters'])}"
    if "weight_bytes" in base:
        text += f", {gigabytes(base['weight_bytes'])} of memory for the weights"
    if "cache_bytes_per_1000_tokens" in base:
        text += f", {base['cache_bytes_per_1000_tokens'] / 1e6:,.0f} MB for the cache of 1,000 prompt tokens"
    return text


def gigabytes(size: float) -> str:
    """Return a size in bytes as text, in GB or MB."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def millions(count: float) -> str:
    """Return a number of parameters as text, in millions."""
    return f"{count / 1e6:,.1f} M parameters"
