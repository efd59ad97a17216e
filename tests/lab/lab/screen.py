"""What the demo shows: a timeline of what happens and why it matters, with a line of live figures below."""

import sys
import time

WIDTH = 80  # of the line of figures, at most
_STYLES = {"bold": "1", "dim": "2", "red": "31;1", "green": "32", "yellow": "33;1", "cyan": "36"}


class Screen:
    """colour, live: for a terminal; the line of figures is then renewed in place, and else printed only
    before something happens. Times are since start()."""

    def __init__(self, colour=False, live=False, out=None):
        self.colour = colour
        self.live = live
        self.out = out or sys.stdout
        self._started = time.monotonic()
        self._line = None

    def style(self, text, *names):
        if not self.colour or not names:
            return text
        return f"\033[{';'.join(_STYLES[n] for n in names)}m{text}\033[0m"

    def start(self, title):
        self.text("", self.style(f"── {title} " + "─" * max(0, 76 - len(title)), "cyan"))
        self._started = time.monotonic()

    def say(self, what, why=None, style="bold"):
        """An event, and why it matters: one or more lines below it."""
        self.keep_figures()
        lines = what.split("\n")
        self._print(f"{self._now()}  {self.style(lines[0], style)}")
        for line in lines[1:]:
            self._print(" " * 9 + self.style(line, style))
        for line in why.split("\n") if why else []:
            self._print(" " * 9 + line)

    def text(self, *lines):
        self.keep_figures()
        for line in lines:
            self._print(line)

    def figures(self, words):
        """words: (text, style or None) each; the line of live figures."""
        self._line = self._now() + "  " + "  ".join(
            self.style(text, style) if style else text for text, style in words)
        if self.live:
            self._write(f"\r\033[K{self._line}")

    def keep_figures(self):
        """The line of figures stays as it is now."""
        if self._line is not None:
            self._write("\n" if self.live else f"{self._line}\n")
        self._line = None

    def table(self, head, rows):
        """rows: (label, cell...); a cell is text or (text, style)."""
        rows = [[c if isinstance(c, tuple) else (c, None) for c in row] for row in rows]
        widths = [max(len(row[i][0]) for row in rows + [[(h, None) for h in head]])
                  for i in range(len(head))]
        self.text("", "  " + self._cells([(h, "bold") for h in head], widths))
        for row in rows:
            self._print("  " + self._cells(row, widths))
        self._print("")

    def _cells(self, row, widths):
        padded = [text.ljust(w) if i == 0 else text.rjust(w)
                  for i, ((text, _), w) in enumerate(zip(row, widths))]
        return "   ".join(self.style(p, style) if style else p for p, (_, style) in zip(padded, row))

    def _now(self):
        return f"{time.monotonic() - self._started:5.1f} s"

    def _print(self, line):
        self._write(line + "\n")

    def _write(self, text):
        self.out.write(text)
        self.out.flush()
