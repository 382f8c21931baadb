"""Where code begins and ends in a completion: fences of all sorts around one right solution."""

from __future__ import annotations

from support.made.case import EMPTY, HONEST, RIGHT, WRONG, Made, fence, made

CODE = RIGHT.rstrip()
INDENTED = "".join(f"   {line}\n" for line in CODE.split("\n"))
CRLF = CODE.replace("\n", "\r\n")


def fences() -> list[Made]:
    return [
        *made("fence_plain", _plain()),
        *made("fence_not_at_line_ends", _not_at_line_ends()),
        *made("fence_indented_statements", _indented_statements()),
        *made("fence_several_blocks", _several()),
        *made("fence_none", _none()),
        *made("fence_blank", _blank()),
        *made("fence_unlabelled_prose", _prose()),
        *made("fence_in_string", _in_strings()),
        *made("fence_in_docstring", _in_docstrings()),
        *made("fence_other_word", _other_words()),
        *made("fence_other_language_first", _other_languages_first()),
    ]


def _plain() -> dict[str, str]:
    return {
        "python": f"```python\n{CODE}\n```",
        "capital": f"```Python\n{CODE}\n```",
        "capitals": f"```PYTHON\n{CODE}\n```",
        "unlabelled": f"```\n{CODE}\n```",
        "prose around": f"The answer is below.\n\n```python\n{CODE}\n```\n\nIt runs in O(1).",
        "thinking before": f"<think>\nDouble it.\n</think>\n\n```python\n{CODE}\n```",
        "heading": f"### Solution\n```python\n{CODE}\n```\n### Notes\n- none",
        "unclosed": f"```python\n{CODE}",
        "unclosed, newline": f"```python\n{CODE}\n",
        "blank lines within": f"```python\n\n\n{CODE}\n\n\n```",
        "trailing blanks": "```python\n" + CODE.replace("\n", "   \n") + "  \n```",
        "tabs": "```python\n" + CODE.replace("    ", "\t") + "\n```",
        "four backticks": f"````python\n{CODE}\n````",
        "five backticks": f"`````python\n{CODE}\n`````",
        "four, closed by three": f"````python\n{CODE}\n```",
        "text after it": f"```python\n{CODE}\n``` done",
        "colon after it": f"```python\n{CODE}\n```:",
        "newline at the end": f"```python\n{CODE}\n```\n",
        "crlf within": f"```python\n{CRLF}\n```",
        "single ticks around": f"Use `Solution`.\n```python\n{CODE}\n```\nAs `twice` does.",
        "blank before fence": f"  ```python\n{CODE}\n  ```",
        "form feed": f"```python\n\f{CODE}\n```",
    }


def _not_at_line_ends() -> dict[str, str]:
    return {
        "opens after text": f"Here it is: ```python\n{CODE}\n```",
        "opens after a bullet": f"- ```python\n{CODE}\n```",
        "opens after a number": f"1. ```\n{CODE}\n```",
        "closes after code": f"```python\n{CODE}```",
        "closes after a comment": f"```python\n{CODE}  # done```",
        "opens and closes so": f"So ```python\n{CODE}``` it is.",
        "indented": f"1. First:\n   ```python\n{INDENTED}   ```",
        "indented, unclosed": f"   ```python\n{INDENTED}",
        "quoted": "> ```python\n" + "".join(f"> {line}\n" for line in CODE.split("\n")) + "> ```",
        "opened twice": f"```python\n```python\n{CODE}\n```",
    }


def _indented_statements() -> dict[str, str]:
    return {
        "two": f"   ```python\n{INDENTED}   x = 1\n   ```",
        "import first": f"1. So:\n\n   ```python\n   import math\n\n{INDENTED}   ```",
    }


def _several() -> dict[str, str]:
    return {
        "solution, then tests": fence(RIGHT) + "\n\nTests:\n\n" + fence(HONEST),
        "wrong, then pass": fence(WRONG) + "\n\nTests:\n\n" + fence(EMPTY),
        "tests, then solution": fence(HONEST) + "\n" + fence(RIGHT),
        "draft, then final": fence(WRONG) + "\nBetter:\n" + fence(RIGHT),
        "final, then draft": fence(RIGHT) + "\nOr:\n" + fence(WRONG),
        "a number as output": fence(RIGHT) + "\nprints\n" + fence("8", word=""),
        "output before": fence("8", word="") + "\ncomes from\n" + fence(RIGHT),
        "blank one between": fence(RIGHT) + "\n" + fence("", word="") + "\n" + fence(HONEST),
        "other language after": fence(RIGHT) + "\nRun it:\n" + fence("python solution.py", word="bash"),
        "json after": fence(RIGHT) + "\n" + fence('{"n": 4}', word="json"),
        "block in thinking": f"<think>\n{fence(WRONG)}\n</think>\n{fence(RIGHT)}",
        "program cut in two": "```python\nimport math\n```\nand\n" + fence(RIGHT),
        "last one unclosed": fence(RIGHT) + "\n\n```python\n" + HONEST,
        "same one twice": fence(RIGHT, HONEST) + "\n" + fence(RIGHT, HONEST),
    }


def _none() -> dict[str, str]:
    return {
        "bare code": RIGHT,
        "nothing": "",
        "blanks": "  \n\n ",
        "prose": "I cannot solve this.",
        "tildes": f"~~~python\n{CODE}\n~~~",
        "two backticks": f"``python\n{CODE}\n``",
        "one line": "```python class Solution: pass```",
        "word alone": "```python",
        "other language": fence("ls", word="bash"),
    }


def _blank() -> dict[str, str]:
    return {
        "empty": "```python\n```",
        "opened": "```python\n",
        "opened, unlabelled": "```\n",
        "blanks": "```\n   \n```",
        "newlines": "```python\n\n\n\n```",
        "tabs": "```python\n\t\n```",
        "two of them": "```python\n```\nand\n```python\n\n```",
        "prose around": "Here:\n\n```python\n\n```\nThat is all.",
        "four backticks": "````python\n````",
    }


def _prose() -> dict[str, str]:
    return {
        "after": fence(RIGHT) + "\nprints\n" + fence("The answer is 8", word=""),
        "before": fence("The answer is 8", word="") + "\n" + fence(RIGHT),
        "arrow": fence(RIGHT) + "\n" + fence("4 -> 8", word=""),
        "a name": fence(RIGHT) + "\n" + fence("output", word=""),
    }


def _in_strings() -> dict[str, str]:
    return {
        "string": f"```python\n{CODE}\n\nmark = '```'\n```",
        "comment": f"```python\n{CODE}\n\n# ends with ``` here\nx = 1\n```",
        "in the method": (
            "```python\nclass Solution:\n    def twice(self, n):\n        s = '```'\n        return n + n\n```"
        ),
    }


def _in_docstrings() -> dict[str, str]:
    return {
        "balanced, after": f"```python\n{CODE}\n\n'''\n```\nSolution().twice(4)\n```\n'''\n```",
    }


def _other_words() -> dict[str, str]:
    return {
        "py": f"```py\n{CODE}\n```",
        "Py": f"```Py\n{CODE}\n```",
        "python3": f"```python3\n{CODE}\n```",
        "blank after": f"```python \n{CODE}\n```",
        "blank before": f"``` python\n{CODE}\n```",
        "blank alone": f"``` \n{CODE}\n```",
        "crlf": f"```python\r\n{CRLF}\r\n```",
        "title": f"```python title=twice.py\n{CODE}\n```",
        "py, wrong and pass": fence(WRONG, EMPTY, word="py"),
    }


def _other_languages_first() -> dict[str, str]:
    return {
        "bash": fence("pip install x", word="bash") + "\n\nThen:\n\n" + fence(RIGHT),
        "json": fence('{"n": 4}', word="json") + "\n\nThen:\n\n" + fence(RIGHT),
        "cpp": fence("int main() {}", word="cpp") + "\n\nIn Python:\n\n" + fence(RIGHT),
        "text, with tests": fence("n = 4", word="text") + "\n\nThen:\n\n" + fence(RIGHT, HONEST),
    }
