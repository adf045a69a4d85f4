"""Text from outside, made safe to show: file names, cells and settings may hold control characters."""

import unicodedata

__all__ = ["safe_text"]


def safe_text(value: object, limit: int = 300) -> str:
    r"""Show text of unknown origin on one line, without anything a terminal or a log would obey.

    Parameters
    ----------
    value : object
        Usually a path, a cell or a key; ``str`` of it is shown.
    limit : int
        Characters shown; the middle of longer text is left out, so that the end of a path stays readable.

    Returns
    -------
    str
        Every character of the Unicode categories C (control, format, surrogate, unassigned) and every line or
        paragraph separator is written as its escape, for example ``\x1b`` or ``\u202e``.
    """
    text = str(value)
    if len(text) > limit:
        text = f"{text[: limit // 2]}...{text[-(limit // 2) :]}"
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] == "C" or category in {"Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character
