"""`glimpse demo`: serve the page."""

from __future__ import annotations

import argparse

from glimpse_core.cli.options import add_adapter, add_glimpse, add_placement


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `demo` and its options."""
    parser = subparsers.add_parser(
        "demo",
        help="serve the page",
        description="Serve the page that shows what a vision-language model keeps when its visual tokens are pruned.",
    )
    parser.add_argument(
        "--model",
        help="catalog name, folder or Hub name (default: the environment variable GLIMPSE_MODEL, else demo, "
        "on ZeroGPU qwen2.5-vl-3b)",
    )
    add_glimpse(parser)
    add_adapter(parser)
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1); 0.0.0.0 for every interface")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--share", action="store_true", help="make a temporary public link")
    add_placement(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is interrupted.

    Returns:
        The exit code: 0.

    Raises:
        GlimpseError: where the address cannot be used.
    """
    from glimpse_core.ui.app import create_app, default_model, serve

    model = args.model or default_model()
    how = {"dtype": args.dtype, "device": args.device, "attn": args.attn}
    how |= {"adapter": args.adapter, "merge": not args.no_merge}
    page = create_app(model, glimpse=args.glimpse, keep_layer=args.keep_layer, **how)
    serve(page, host=args.host, port=args.port, share=args.share)
    return 0
