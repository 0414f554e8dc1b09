"""The page: components drawn by our own JavaScript, handlers as generators over plain values, one visitor store.

pictures.py   files in, checked RGB pictures and data URLs out
examples.py   the bundled pictures with their questions
results.py    what a live run showed for them, stored
gallery.py    pictures by name, and what is shown for them before anything runs
holder.py     the model, loaded in the background
visitors.py   what the server remembers of each visitor, bounded
queue.py      one question at a time, in the order of arrival
inputs.py     values from the browser, checked; settings by their table (glimpse/settings)
flow.py       ask, answer again, stop
compare.py    which words of two answers differ
figures.py    the numbers under the answers, by how they were obtained
inside.py     the figures below: layers, stages, attention
payloads.py   what is sent to the browser
view.py       one update of the page
record.py     what one question left behind, as JSON; its schema lies beside it
export.py     a record as a file; export_panel.py: the row of buttons that save and link
links.py      example, question and settings as query parameters
api.py        the named endpoints; endpoint.py: settings as their parameters
component.py  gr.HTML with a constant template; `web/` holds its JavaScript and CSS
theme.py      fonts, colors, launch options
layout.py     which components stand where
events.py     which handler answers to which of them
page.py       `create_page` is what app.py calls
"""
