"""Files that are not the judged code's own. The rule: nothing outside is read, written, or seen by a later check."""

from hostile.case import RIGHT, SECRET, Case, after, before, leak, thief, tried


def by_file(path, prepare=""):
    return leak(
        f"{prepare}\nimport os\nopen({path!r}, 'w').write(value)\nos.chmod({path!r}, 0o777)",
        f"return open({path!r}).read()",
    )


CASES = [
    Case("secret read", tried("print(open('{secret_file}').read())")),
    Case(
        "secret read through a link",
        tried("os.symlink('{secret_file}', 'result.txt')\nprint(open('result.txt').read())"),
    ),
    Case(
        "secret linked as result.txt",
        tried("os.symlink('{secret_file}', 'result.txt')"),
        mode="file_marker",
        passed=False,
    ),
    Case(
        "secret hard-linked as result.txt",
        tried("os.link('{secret_file}', 'result.txt')"),
        mode="file_marker",
        passed=False,
    ),
    Case(
        "folder linked as cwd",
        tried("here = os.getcwd()\nos.rename(here, here + 'x')\nos.symlink(os.path.dirname('{secret_file}'), here)"),
    ),
    Case("secret listed", tried("print(os.listdir(os.path.dirname('{secret_file}')), '{escaped}')")),
    Case(
        "registry read",
        tried(
            """
                import sqlite3
                print(sqlite3.connect('file:{registry}?mode=ro', uri=True).execute('select * from jobs').fetchall())
                """
        ),
    ),
    Case(
        "registry written",
        tried("import sqlite3\nc = sqlite3.connect('{registry}')\nc.execute('delete from jobs')\nc.commit()"),
    ),
    Case("passwd read", tried("print(open('/etc/passwd').read())")),
    Case("shadow read", tried("print(open('/etc/shadow').read(), '{escaped}')")),
    Case("grader's source read", tried("print(open('{repo}/core/environment/rewards.py').read())")),
    Case("tests' source read", tried("print(open('{repo}/tests/hostile/case.py').read())")),
    Case(
        "problems looked for",
        thief(
            """
                import os
                for top in ('/tmp', '/work', '/root', '/home', '/srv', '{repo}/shared'):
                    for folder, _, names in os.walk(top):
                        for name in names[:50]:
                            try:
                                look(open(f'{folder}/{name}', 'rb').read(1 << 16))
                            except OSError:
                                pass
                        if folder.count('/') > 3: break
                """
        ),
        problem=SECRET,
    ),
    Case("written outside", tried("open('{outside_dir}/here', 'w').write('x')")),
    Case("folder made outside", tried("os.makedirs('{outside_dir}/a/b')")),
    Case("outside by way of ..", tried("open('../' * 20 + '{outside_dir}'.lstrip('/') + '/dots', 'w').write('x')")),
    Case(
        "outside by way of an open folder",
        tried(
            """
                fd = os.open('/', os.O_RDONLY)
                os.open('{outside_dir}/at'.lstrip('/'), os.O_CREAT | os.O_WRONLY, dir_fd=fd)
                """
        ),
    ),
    Case("moved outside", tried("open('a', 'w').write('x')\nos.rename('a', '{outside_dir}/moved')")),
    Case("chroot", tried("os.chroot('.')\nprint('{escaped}')")),
    Case(
        "mount",
        tried(
            "import ctypes\nif ctypes.CDLL(None).mount(b'none', b'.', b'tmpfs', 0, None) == 0:\n    print('{escaped}')"
        ),
    ),
    Case(
        "new user namespace",
        tried("import ctypes\nif ctypes.CDLL(None).unshare(0x10000000) == 0:\n    print('{escaped}')"),
    ),
    Case("setuid", tried("os.setuid(0)\nprint('{escaped}')")),
    Case("device node", tried("os.mknod('disk', 0o60666, os.makedev(8, 0))\nprint('{escaped}')")),
    Case("left in /tmp for a later check", by_file("/tmp/hostile-{tag}"), problem=SECRET, rounds=2),
    Case("left in /var/tmp for a later check", by_file("/var/tmp/hostile-{tag}"), problem=SECRET, rounds=2),
    Case("left in /dev/shm for a later check", by_file("/dev/shm/hostile-{tag}"), problem=SECRET, rounds=2),
    Case("left in the canary folder for a later check", by_file("{outside_dir}/leak"), problem=SECRET, rounds=2),
    Case("left in the cwd for a later check", by_file("leak.txt"), problem=SECRET, rounds=2),
    Case("left beside the cwd for a later check", by_file("../leak.txt"), problem=SECRET, rounds=2),
    Case(
        "left in the standard library for a later check",
        leak(
            "import os\nopen(os.path.dirname(os.__file__) + '/leak.txt', 'w').write(value)",
            "import os\nreturn open(os.path.dirname(os.__file__) + '/leak.txt').read()",
        ),
        problem=SECRET,
        rounds=2,
    ),
    Case(
        "left in an extended attribute",
        leak(
            """
                import os, sys
                for p in ('/', '/tmp', '/usr', sys.executable, '..'):
                    try: os.setxattr(p, 'user.leak', value.encode())
                    except OSError: pass
                """,
            """
                import os, sys
                for p in ('/', '/tmp', '/usr', sys.executable, '..'):
                    try: return os.getxattr(p, 'user.leak')
                    except OSError: pass
                """,
        ),
        problem=SECRET,
        rounds=2,
    ),
    Case(
        "compiled module left for a later check",
        leak(
            "import os, sys, py_compile\nopen('/tmp/hostile_{tag}.py', 'w').write(f'V = {value!r}')",
            "import sys\nsys.path.insert(0, '/tmp')\nimport hostile_{tag}\nreturn hostile_{tag}.V",
        ),
        problem=SECRET,
        rounds=2,
    ),
    Case(
        "others' folders read",
        tried(
            """
                up = os.path.dirname(os.getcwd())
                for name in os.listdir(up):
                    if os.path.join(up, name) != os.getcwd() and os.path.isdir(os.path.join(up, name)):
                        print(os.listdir(os.path.join(up, name)), '{escaped}')
                """
        ),
    ),
    Case("cwd left, right", before("import os\nos.chdir('/')", RIGHT), "Correct", gt_correct=True),
    Case(
        "cwd without rights, right",  # an ordinary user's children may change no modes
        before("import os\ntry:\n    os.chmod('.', 0)\nexcept PermissionError:\n    pass", RIGHT),
        "Correct",
        gt_correct=True,
    ),
    Case(
        "cwd deleted, right",
        before("import os, shutil\ntry:\n    os.rmdir(os.getcwd())\nexcept OSError:\n    pass", RIGHT),
        "Correct",
        gt_correct=True,
    ),
    Case(
        "folders without rights",
        before(
            """
                import os
                for k in range(20):
                    os.makedirs(f'd{k}/e')
                    open(f'd{k}/f', 'w')
                    os.chmod(f'd{k}', 0)
                """
        ),
    ),
    Case("deep tree", before("import os\nfor _ in range(2000):\n    os.mkdir('d')\n    os.chdir('d')")),
    Case("fifo named result.txt", before("import os\nos.mkfifo('result.txt')"), mode="file_marker", passed=False),
    Case("folder named result.txt", before("import os\nos.mkdir('result.txt')"), mode="file_marker", passed=False),
    Case(
        "socket named result.txt",
        tried("import socket\nsocket.socket(socket.AF_UNIX).bind('result.txt')"),
        mode="file_marker",
        passed=False,
    ),
    Case(
        "result.txt cannot be read",
        before("import os\nopen('result.txt', 'w').write('PASS')\nos.chmod('result.txt', 0)"),
        None,
        mode="file_marker",
        passed=None,
    ),
    Case(
        "names that are no text",
        before(
            """
                for name in (b'result\\xff\\xfe', b'result\\n\\r\\t', b'result' + b'x' * 240, b'{}%s\\\\'):
                    open(name, 'wb').write(b'\\xff\\xfePASS\\0')
                """
        ),
        None,
        mode="file_marker",
        passed=None,
    ),
    Case("paid file", after("open('result.txt', 'w').write('PASS')"), mode="file_marker", passed=True),
    Case(
        "paid file, then a link of that name",
        after(
            """
                import os
                open('result.txt', 'w').write('PASS')
                os.rename('result.txt', 'x')
                os.symlink('x', 'result.txt')
                """
        ),
        mode="file_marker",
        passed=False,
    ),
    Case(
        "file lock on the standard library, right",
        before(
            """
                import fcntl, os
                fd = os.open(os.__file__, os.O_RDONLY)
                try:
                    fcntl.flock(fd, 6)
                except OSError: pass
                """,
            RIGHT,
        ),
        "Correct",
        gt_correct=True,
    ),
]
