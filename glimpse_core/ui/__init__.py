"""The page: components drawn by our own JavaScript, handlers as generators over plain values, one visitor store.

pictures.py   files in, checked RGB pictures and data URLs out
examples.py   the bundled pictures with their questions
holder.py     the model, loaded in the background
visitors.py   what the server remembers of each visitor, bounded
compare.py    which words of two answers differ
payloads.py   what is sent to the browser
inputs.py     values from the browser, checked
view.py       one update of the page
flow.py       ask, answer again, stop
component.py  gr.HTML with a constant template; `static/` holds its JavaScript and CSS
page.py       the layout; `create_page` is what app.py calls
"""
