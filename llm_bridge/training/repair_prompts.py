r"""Prompts of the task *repair*, the same in training and in generation.

    line       <text up to the line>                                 program    <text>
               <indentation># bug: <that line>                                  # The function above has one bug. …
               <indentation># fix:                                              def name(
               ▲ asked                                                          ▲ asked
    answer     ⏎<the line or lines in its place>⏎<end of text>       answer     the rest of the corrected function

The indentation of the answer is not part of the prompt: with the word that follows, it is one token in large
vocabularies. A model trained on fixes ends its answer with the end-of-text token; one that was not just goes on, so
generation also stops after a number of lines.
"""

from __future__ import annotations

from llm_bridge.transport.items import REPLACEMENT_CHARACTER

LINE_REQUEST = ("# bug: ", "# fix:")
PROGRAM_REQUEST = "\n# The function above has one bug. The corrected function:\n"


def line_prompt(text: str, line: int) -> tuple[str, str]:
    r"""Prompt that asks for the replacement of one line, and the indentation of that line.

    Parameters
    ----------
    text
        The received text.
    line
        Index of the line to be replaced, from 0.

    Examples
    --------
    >>> prompt, indent = line_prompt("def f(x):\n    return y\n", 1)
    >>> print(prompt)
    def f(x):
        # bug: return y
        # fix:
    >>> indent
    '    '
    """
    lines = text.splitlines(keepends=True)
    bad = lines[line].rstrip("\r\n")
    indent = bad[: len(bad) - len(bad.lstrip())]
    bug, fix = LINE_REQUEST
    return "".join(lines[:line]) + indent + bug + bad.strip() + "\n" + indent + fix, indent


def line_answer(fix: str) -> str:
    r"""Answer to the prompt of `line_prompt`, without the end-of-text token.

    Examples
    --------
    >>> line_answer("    return x\n")
    '\n    return x\n'
    """
    return "\n" + fix.rstrip("\n") + "\n"


def program_prompt(text: str) -> tuple[str, str]:
    r"""Prompt that asks for the whole program, and how its answer begins: like the text, up to the first parenthesis.

    Examples
    --------
    >>> program_prompt("def f(x):\n    return y\n")[1]
    'def f('
    """
    first = next(row for row in text.splitlines() if row.strip())
    head = first.split("(")[0]
    opening = head + "(" if head.startswith("def ") and REPLACEMENT_CHARACTER not in head else "def "
    return text.rstrip("\n") + "\n" + PROGRAM_REQUEST + opening, opening
