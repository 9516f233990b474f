r"""A board as a LaTeX table, to be cited with what `fairbench export --format bibtex` prints.

Whatever comes from results is escaped: a method's name is text, and never a command. Signs beyond Latin letters, which
pdfLaTeX cannot set, become their code points.
"""

from fairbench.boards.board import Board
from fairbench.report.headings import anchor
from fairbench.report.paper.bibtex import entry_of
from fairbench.report.paper.paper_table import PaperCell, PaperLine, paper_table

SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "·": r"$\cdot$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
LATIN, ABSENT = 0x180, "ĦħĸĿŀŉŦŧſ"
"""Letters below are in the fonts of T1, but for these."""


def to_latex(board: Board, *, top: int | None = None) -> str:
    """A floating table, best row first."""
    table = paper_table(board, top=top)
    lines = [
        r"% Needs \usepackage[T1]{fontenc} and \usepackage{booktabs}.",
        r"\begin{table}",
        r"  \centering\small",
        rf"  \caption{{{escape(table.caption)}}}",
        rf"  \label{{tab:{anchor(board)}}}",
        rf"  \begin{{tabular}}{{ll{'r' * (len(table.headings) - 2)}}}",
        r"    \toprule",
        f"    {' & '.join(map(escape, table.headings))} \\\\",
    ]
    for block in table.blocks:
        lines += [r"    \midrule", *(f"    {_line(line)} \\\\" for line in block)]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands, on one line."""
    return "".join(SIGNS.get(sign) or _letter(sign) for sign in " ".join(text.split()))


def _letter(sign: str) -> str:
    return sign if ord(sign) < LATIN and sign.isprintable() and sign not in ABSENT else f"U+{ord(sign):04X}"


def _line(line: PaperLine) -> str:
    rank, name, *numbers = map(_cell, line.cells)
    entry = entry_of(line.row)
    return " & ".join([rank, rf"{name}~\cite{{{entry.key}}}" if entry else name, *numbers])


def _cell(cell: PaperCell) -> str:
    return rf"\textbf{{{escape(cell.text)}}}" if cell.best else escape(cell.text)
