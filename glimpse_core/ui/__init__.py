"""The page: a component filled by the browser's ES modules, handlers as generators over plain values, a visitor store.

app.py         `create_app` and `serve`; page.py: `create_page`, the Blocks around everything
component.py   the one `gr.HTML`, which mounts `web/main.js`; boot.py: what it is given once
endpoints.py   what the page's scripts call; api.py: the public endpoints; endpoint.py: settings as their parameters
flow.py        ask, answer again, band, stop; queue.py: one question at a time; gpu.py: borrowed GPUs
visitors.py    what the server remembers of each visitor, bounded
holder.py      the model, loaded in the background
inputs.py      values from the browser, checked; links.py: those of the page's address
pictures.py    files in, checked RGB images out; gallery.py: images by name, and what is stored about them
examples.py    the bundled images with their questions; results.py: what a live run showed for them
messages.py    what is sent to the browser, by type; made by payloads.py, figures.py, inside.py and view.py
compare.py     which words of two answers differ; truth.py: true answers in words
projection.py  what a question would cost on a model of the catalog
methods.py     the Methods tab; comparison.py: its work
benchmark.py   the Benchmark tab; runs.py and finished.py: what runs, and what a reload shows again
record.py      what one question left behind, as JSON; its schema lies beside it. export.py: a record as a file
texts.py       sentences; units.py: numbers with their units; theme.py: fonts, colors, launch options
space.py       the Hugging Face Space as a folder; make_examples.py: the bundled images and results, made again

`web/` holds the browser's side: docs/architecture.md explains it.
"""
