"""Griffe extension: Sphinx's markup in docstrings, as Markdown."""

import re

import griffe


def to_markdown(text):
    """Return a docstring with its math, roles and literal blocks rewritten."""
    text = re.sub(
        r'^( *)\.\. math::((?:.*)(?:\n(?:\1 +.*| *$))*)',
        lambda m: (
            f'{m[1]}$$\n{m[1]}' + ' '.join(m[2].split()) + f'\n{m[1]}$$\n'
        ),
        text,
        flags=re.M,
    )
    text = re.sub(r':math:`([^`]+)`', r'$\1$', text)
    text = re.sub(r':\w+:`~(?:[\w.]+\.)?(\w+)`', r'`\1`', text)
    text = re.sub(r':\w+:`([\w.]+)`', r'`\1`', text)
    # The section's name; by the other one an example is read as prose.
    text = re.sub(r'^( *)Example:$', r'\1Examples:', text, flags=re.M)
    return re.sub(r'::$', ':', text, flags=re.M)


class SphinxMarkup(griffe.Extension):
    """Rewrite every docstring when it is read."""

    def on_instance(self, *, obj, **_):
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
