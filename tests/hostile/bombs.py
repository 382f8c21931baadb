"""Too much of everything. A run-time error at import does compile, a process lost at import may not.

Where memory and time run out at about the same moment, `compiles` is left open.
"""

from hostile.case import RIGHT, Case, before, method

CASES = [
    Case("fork bomb", before("import os\nwhile True:\n    os.fork()")),
    Case(
        "thread bomb",
        before("import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(20,)).start()"),
    ),
    Case(
        "thread bomb in the method",
        method("import _thread, time\nwhile True:\n    _thread.start_new_thread(time.sleep, (20,))"),
    ),
    Case("bytearrays", before("held = []\nwhile True:\n    held.append(bytearray(1 << 24))"), compiles=None),
    Case("memory in the method", method("held = []\nwhile True:\n    held.append(bytearray(1 << 24))")),
    Case(
        "MemoryError is caught and asked again",
        method(
            """
                held = []
                for _ in range(200):
                    try:
                        held.append(bytearray(1 << 24))
                    except MemoryError:
                        pass
                """
        ),
    ),
    Case("200 MiB, right", before("held = bytes(200 << 20)", RIGHT), "Correct", gt_correct=True),
    Case("one huge list", before("held = [0] * 10 ** 10")),
    Case("mmap", before("import mmap\nheld = mmap.mmap(-1, 8 << 30)")),
    Case(
        "memfd",
        before(
            """
                import os
                fd = os.memfd_create('x')
                os.ftruncate(fd, 1 << 40)
                while True:
                    os.write(fd, bytes(1 << 20))
                """
        ),
        compiles=None,
    ),
    Case("shifted integer", before("held = 1 << (1 << 36)")),
    Case("tower of powers in constants", before("held = 9 ** 9 ** 9"), compiles=None),
    Case("string multiplication", before("held = 'x' * (1 << 40)")),
    Case("string multiplication by halves", before("held = 'x'\nwhile True:\n    held += held"), compiles=None),
    Case("format width", before("held = f'{1:>99999999999}'")),
    Case("catastrophic regular expression", method("import re\nre.match('(a+)+$', 'a' * 60 + 'b')")),
    Case("endless loop at import", before("while True: pass"), compiles=None),
    Case("deep JSON", method("import json\njson.loads('[' * 10 ** 6)")),
    Case(
        "zip bomb",
        before(
            """
            import zlib
            small = zlib.compressobj(1)
            data = b''.join(small.compress(bytes(1 << 20)) for _ in range(64)) + small.flush()
            held = [zlib.decompress(data) for _ in range(20)]
            """
        ),
        compiles=None,
    ),
    Case("many small files", before("for k in range(1000):\n    open(f'result-{k}', 'w').write('x')"), compiles=True),
    Case("many folders", before("import os\nfor k in range(800):\n    os.mkdir(f'd{k}')")),
    Case("file grown by truncate", before("open('result.txt', 'w').truncate(1 << 40)")),
    Case("file grown by seek", before("f = open('result.txt', 'w')\nf.seek(1 << 40)\nf.write('x')\nf.close()")),
    Case(
        "file grown by fallocate",
        before("import os\nos.posix_fallocate(os.open('result.txt', os.O_RDWR | os.O_CREAT), 0, 1 << 34)"),
    ),
    Case(
        "many files of a mebibyte",
        before("for k in range(40):\n    open(f'big-{k}', 'wb').write(bytes(1 << 20))"),
        compiles=True,
    ),
    Case(
        "descriptors run out", before("import os\nheld = []\nwhile True:\n    held.append(os.open('.', os.O_RDONLY))")
    ),
    Case(
        "pipes filled",
        before(
            """
                import os
                held = []
                while True:
                    r, w = os.pipe()
                    os.set_blocking(w, False)
                    held.append(os.write(w, bytes(1 << 20)))
                """
        ),
    ),
    Case(
        "limits raised",
        before(
            """
                import resource
                for what in range(16):
                    try:
                        resource.setrlimit(what, (resource.RLIM_INFINITY,) * 2)
                    except (ValueError, OSError):
                        pass
                """,
            method("held = bytearray(2 << 30)\nprint('{escaped}')"),
        ),
    ),
    Case(
        "garbage in cycles",
        before(
            """
                while True:
                    a = []
                    a.append(a)
                    a.append(bytearray(1 << 16))
                    import gc
                    gc.disable()
                """
        ),
        compiles=None,
    ),
    Case("huge range answer", method("pass", "list(range(3_000_000))"), compiles=None),
    # The fault is the method's, and the code compiles, whatever becomes of so long an answer.
    Case("answer of 20 MB", method("pass", "'x' * 20_000_000")),
]
