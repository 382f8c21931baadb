"""Points land where they belong: a curve at 100 % fills the top row and one at 0 % the bottom row."""

from __future__ import annotations

from core.figures.terminal import LETTERS, terminal_plot


def test_the_plot_puts_points_where_they_belong() -> None:
    up = ("up-s1", [(0, 1.0), (50, 1.0), (100, 1.0)])
    down = ("down-s2", [(0, 0.0), (50, 0.0), (100, 0.0)])
    lines = terminal_plot([up, down], "t", 80).splitlines()
    bare = [line.partition("┤")[2] or line.partition("│")[2] for line in lines]
    rows = [line for line in bare if line]
    assert rows[0].count("a") > 10 and rows[-1].count("b") > 10
    assert "b" not in rows[0] and "a" not in rows[-1]
    assert lines[-1] == "a up-s1  b down-s2"
    assert max(map(len, lines)) <= 80


def test_nothing_measured_is_nothing_drawn_and_many_runs_keep_their_letters() -> None:
    assert terminal_plot([("up", [])], "t", 80) == ""
    many = [(f"run{n}", [(0, 0.5), (10, 0.5)]) for n in range(60)]
    key = terminal_plot(many, "t", 80).splitlines()
    assert LETTERS[51] + " run51" in "\n".join(key) and "run52" not in "\n".join(key)
