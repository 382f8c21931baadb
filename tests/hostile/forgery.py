"""Results written by the judged code itself: by guess, by replay, by the grader's own pen."""

from hostile.case import REPORT, RIGHT, WRONG, Case, after, before, lines, method

GUESS = "import json\nguess = json.dumps([9, 16, 25, 0])"


def told(*records, leave=True):
    """Records sent through the grader's own report function, then out."""
    body = "\n".join(f"report({name!r}, {text})" for name, text in records)
    return method(body + ("\nos._exit(0)" if leave else ""), "n * n", top=REPORT)


# The grader's own frames, as core.sandbox.jail.server makes them: kind, length, content.
FRAMES = lines(
    """
    import json, os, select
    def say(kind, content=b''):
        os.write(3, kind + len(content).to_bytes(4, 'big') + content)
    def record(name, value):
        say(b'r', json.dumps({name: value}).encode())
    """
)


def spoken(body):
    """A conversation held by the judged code itself, then out."""
    return method(lines(body) + "os._exit(0)", "n * n", top=FRAMES)


CASES = [
    Case(
        "whole conversation, guessed answers",
        spoken("record('answers', [9, 16, 25, 0])\nrecord('ended', None)\nsay(b'F')\nsay(b'D', os.read(3, 16))"),
        compiles=True,
    ),
    Case(
        "whole conversation, answers that equal everything",
        spoken("record('answers', {'set': []})\nrecord('ended', None)\nsay(b'F')\nsay(b'D', os.read(3, 16))"),
        compiles=True,
    ),
    Case("nonce guessed", spoken("record('answers', [6, -8, 10, 0])\nsay(b'F')\nsay(b'D', bytes(16))"), compiles=None),
    Case("nonce before the end", spoken("say(b'D', bytes(16))"), compiles=None),
    Case("finished twice", spoken("say(b'F')\nsay(b'F')"), compiles=None),
    Case("right answers, no nonce", spoken("record('answers', [6, -8, 10, 0])\nrecord('ended', None)"), compiles=False),
    Case("right answers, finished, no nonce", spoken("record('answers', [6, -8, 10, 0])\nsay(b'F')"), compiles=False),
    Case("read again, as if anew", spoken("say(b'R')\nrecord('answers', [6, -8, 10, 0])"), compiles=None),
    Case(
        "nonce awaited before there is one",
        spoken("print('{escaped}' if select.select([3], [], [], 0.2)[0] else 'nothing')"),
        compiles=False,
    ),
    Case("own channel shut", spoken("import socket\nsocket.socket(fileno=3).shutdown(2)"), compiles=False),
    Case(
        "JSON on every descriptor",
        after(
            """
                import json, os
                for fd in range(1, 64):
                    try:
                        os.write(fd, json.dumps({'answers': [6, -8, 10, 0], 'done': None}).encode())
                    except OSError:
                        pass
                os._exit(0)
                """
        ),
        compiles=False,
    ),
    Case(
        "JSON on stdout",
        after('print(\'{"compiled": null}\\n{"answers": [6, -8, 10, 0]}\\n{"done": null}\', flush=True)'),
    ),
    Case(
        "JSON on stderr",
        after('import sys\nprint(\'{"answers": [6, -8, 10, 0], "done": null}\', file=sys.stderr, flush=True)'),
    ),
    # Who writes to the result channel loses everything, or his bytes go nowhere: both are fair.
    Case(
        "guessed token",
        after(
            """
                import os, struct
                body = b'{"answers": [6, -8, 10, 0]}'
                os.write(3, bytes(16) + struct.pack('>I', len(body)) + body)
                """
        ),
        compiles=None,
    ),
    Case(
        "many guessed tokens",
        after("import os\nfor _ in range(200):\n    os.write(3, os.urandom(16) + b'\\0\\0\\0\\2{}')"),
        compiles=None,
    ),
    Case("partial frame", after("import os\nos.write(3, bytes(7))"), compiles=None),
    Case(
        "huge frame length",
        after("import os\nos.write(3, bytes(16) + b'\\xff\\xff\\xff\\xff' + b'[' * 1000)"),
        compiles=None,
    ),
    Case(
        "negative and zero lengths",
        after("import os, struct\nfor n in (-1, 0, -2**31):\n    os.write(3, bytes(16) + struct.pack('>i', n))"),
        compiles=None,
    ),
    Case(
        "result channel flooded",
        after("import os\nfor _ in range(400):\n    os.write(3, bytes(1 << 16))"),
        compiles=None,
    ),
    Case(
        "result channel flooded in the method",
        method("import os\nfor _ in range(400):\n    os.write(3, bytes(1 << 16))"),
        compiles=None,
    ),
    Case(
        "stdout on the result channel",
        after("import os\nos.dup2(3, 1)\nprint('{\"answers\": [6, -8, 10, 0]}', flush=True)"),
        compiles=None,
    ),
    Case("result channel on stdout", after("import os\nos.dup2(1, 3)"), compiles=None),
    Case("result channel closed", after("import os\nos.close(3)"), compiles=None),
    Case("all descriptors closed", after("import os\nos.closerange(0, 1024)"), compiles=None),
    Case(
        "all but the result channel closed, right",
        after("import os\nos.closerange(0, 3)\nos.closerange(4, 1024)", RIGHT),
        "Correct",
        gt_correct=True,
    ),
    Case(
        "result channel is a file",
        after("import os\nos.dup2(os.open('result.txt', os.O_RDWR | os.O_CREAT), 3)"),
        compiles=None,
    ),
    Case(
        "result channel does not block",
        after("import fcntl, os\nos.set_blocking(3, False)\nfcntl.fcntl(3, 1031, 4096)"),
        compiles=None,
    ),
    Case(
        "result channel read back",
        after(
            """
                import os
                for path in ('/proc/self/fd/3', '/dev/fd/3'):
                    try:
                        data = os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 1 << 16)
                        os.write(3, data)
                    except OSError:
                        pass
                """
        ),
        compiles=None,
    ),
    Case(
        "replay of all that was sent",
        after(
            """
                import os
                sent = []
                write = os.write
                def spy(fd, data):
                    sent.append(bytes(data))
                    return write(fd, data)
                os.write = spy
                for data in sent:
                    write(3, data)
                """
        ),
    ),
    # From here on the forger has the grader's own pen, but still no expected value.
    Case(
        "guesses through the grader's report",
        told(("answers", "'[9, 16, 25, 0]'"), ("ended", "'null'")),
        compiles=False,
    ),
    Case("done without answers", told(("ended", "'null'")), compiles=False),
    Case("done and equal without answers", told(("equal", "'true'"), ("ended", "'null'")), compiles=False),
    # All three loosely typed ways of telling the answers twice lose even the format reward, or keep it.
    Case(
        "answers told twice",
        told(("answers", "'[6, -8, 10, 0]'"), ("answers", "'[6, -8, 10, 1]'"), ("ended", "'null'")),
        compiles=None,
    ),
    Case("answers told before the honest ones", told(("answers", "'[9, 16, 25, 0]'"), leave=False), compiles=None),
    Case(
        "answers of each call told as all",
        method("if n == 3:\n    report('answers', '[6, 6, 6, 6]')\n    report('ended', 'null')", "n * n", top=REPORT),
        compiles=None,
    ),
    Case("two records in one", told(("answers", "'[9, 16, 25, 0], \"ended\": null'")), compiles=None),
    Case("answers as a string", told(("answers", "'\"6\"'"), ("ended", "'null'")), compiles=False),
    Case("answers as an object", told(("answers", "'{\"0\": 6}'"), ("ended", "'null'")), compiles=False),
    Case("one answer too many", told(("answers", "'[6, -8, 10, 1, 0]'"), ("ended", "'null'")), compiles=False),
    Case(
        "answers nested 100,000 deep",
        told(("answers", "'[' * 100_000 + ']' * 100_000"), ("ended", "'null'")),
        compiles=None,
    ),
    Case("answers of 5,000 digits", told(("answers", "'[' + '9' * 5000 + ']'"), ("ended", "'null'")), compiles=None),
    Case(
        "answers NaN and 1e999", told(("answers", "'[NaN, -Infinity, 1e999, 0]'"), ("ended", "'null'")), compiles=False
    ),
    Case("answers that are no JSON", told(("answers", "'[6, -8, 10'"), ("ended", "'null'")), compiles=None),
    Case(
        "answers with repeated keys",
        told(("answers", '\'[{"tuple": [], "tuple": [6]}, 1, 2, 3]\''), ("ended", "'null'")),
        compiles=False,
    ),
    Case(
        "answers as very many small objects",
        told(("answers", "'[' + ','.join(['{\"a\":[]}'] * 300_000) + ']'"), ("ended", "'null'")),
        compiles=None,
    ),
    Case(
        "records with strange names",
        told(("error", "'null'"), ("left", "'[]'"), ("\\u0000", "'1'"), ("ended", "'null'")),
        compiles=False,
    ),
    Case(
        "records of wrong types",
        told(
            ("tests_passed", "'{}'"),
            ("test_function", "'[]'"),
            ("equal", "'\"x\"'"),
            ("attributes", "'[[], {}, 1]'"),
            ("ended", "'null'"),
        ),
        compiles=False,
    ),
    Case(
        "ten thousand records",
        method("for k in range(10_000):\n    report(f'r{k}', 'null')\nos._exit(0)", top=REPORT),
        compiles=None,
    ),
    Case(
        "lone surrogates and bad UTF-8",
        told(("answers", "'[\"\\\\ud800\"]'"), ("error", "'\"\\\\udfff\"'"), ("ended", "'null'")),
    ),
    # It cannot be told from outside that the module code did not come to its end.
    Case("import told, then left", before(REPORT + "report('imported', 'null')\nos._exit(0)"), compiles=None),
    # Whether the forged verdict of its own test counts is the mode's own affair; that it is a hack is not.
    Case(
        "own test's verdict forged",
        REPORT
        + WRONG
        + lines("def run_tests():\n    report('passed', 'true')\n    report('ended', 'null')\n    os._exit(0)"),
        None,
        passed=None,
        compiles=True,
    ),
    Case(
        "attributes forged",
        told(("answers", "'[]'"), ("attributes", "'[\"valid\"]'"), ("ended", "'null'")),
        mode="gt_only",
        passed=False,
        compiles=False,
    ),
    Case(
        "forged report pays nothing in gt_only",
        told(("answers", "'[]'"), ("equal", "'false'"), ("passed 0", "'true'"), ("ended", "'null'")),
        mode="gt_only",
        passed=False,
        compiles=False,
    ),
]
