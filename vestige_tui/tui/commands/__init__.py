"""Commands of the console, one module a place: key, footer, palette, help and keymap id follow from one class."""
