"""Traces that a check could leave for a later one, or on files of the grader's user, without opening any of them."""

from hostile.case import RIGHT, SECRET, Case, before, leak, tried

PAGES = """
import os
FILE = os.path.join(os.path.dirname(os.__file__), 'pydoc_data', 'topics.py')
SEEN = []
def at(k): return 8192 * k
"""
TIMES = """
import os
PLACES = ('..', '/dev/pts', '/dev', '/dev/null', '/dev/shm', '/', '/tmp', os.__file__)
"""

CASES = [
    Case(
        "cached pages of the standard library",
        leak(
            """
                SEEN.append(None)
                bits = '10' + format(int(value[11:], 16), '064b')
                fd = os.open(FILE, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                for k, bit in enumerate(bits):
                    if bit == '1':
                        os.pread(fd, 1, at(k))
                """,
            """
                if SEEN:  # to look is to fetch: the second time all of it is cached
                    return SEEN[0]
                fd = os.open(FILE, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
                bits = ''
                for k in range(66):
                    try:
                        os.preadv(fd, [bytearray(1)], at(k), os.RWF_NOWAIT)
                        bits += '1'
                    except BlockingIOError:
                        bits += '0'
                if bits[:2] == '10':
                    SEEN.append(f'TRUTH-4711-{int(bits[2:], 2):016x}')
                    return SEEN[0]
                """,
            PAGES,
        ),
        problem=SECRET,
        rounds=3,
    ),
    Case(
        "times of places that stay",
        leak(
            """
                whole = int(value[11:], 16)
                for place in PLACES:
                    try:
                        os.utime(place, ns=(whole >> 34, (whole & (1 << 34) - 1) | 1 << 40))
                    except OSError:
                        pass
                """,
            """
                for place in PLACES:
                    s = os.stat(place)
                    if s.st_mtime_ns >> 34 == 1 << 6:
                        return f'TRUTH-4711-{s.st_atime_ns << 34 | s.st_mtime_ns & (1 << 34) - 1:016x}'
                """,
            TIMES,
        ),
        problem=SECRET,
        rounds=2,
    ),
    Case(
        "attributes of the folder above",
        leak(
            """
                for k, c in enumerate(value[11:]):
                    os.setxattr('..', f'user.{k}.{c}', b'')
                """,
            """
                names = sorted((int(n.split('.')[1]), n.split('.')[2]) for n in os.listxattr('..') if n[:5] == 'user.')
                return 'TRUTH-4711-' + ''.join(c for _, c in names) if names else None
                """,
            TIMES,
        ),
        problem=SECRET,
        rounds=2,
    ),
    Case("registry's mode", tried("os.chmod('{registry}', 0)\nprint('{escaped}')")),
    Case("registry's mode, by the system call", tried("print('{escaped}' * (libc.chmod(b'{registry}', 0) == 0))")),
    Case("mode of the folder of the registry", tried("os.chmod(os.path.dirname('{registry}'), 0)\nprint('{escaped}')")),
    Case("registry's group", tried("os.chown('{registry}', -1, os.getgid())\nprint('{escaped}')")),
    Case("registry's times", tried("os.utime('{registry}', (1, 1))\nprint('{escaped}')")),
    Case("registry's attributes", tried("os.setxattr('{registry}', 'user.x', b'x')\nprint('{escaped}')")),
    Case("registry cut off", tried("os.truncate('{registry}', 0)\nprint('{escaped}')")),
    Case(
        "watch on the registry",
        tried(
            "fd = libc.inotify_init1(0)\nif libc.inotify_add_watch(fd, b'{registry}', 0xFFF) >= 0: print('{escaped}')"
        ),
    ),
    Case(
        "own server's folder without rights",
        tried("os.chmod('..', 0)\nprint('{escaped}' * (os.getuid() == os.stat('..').st_uid))"),
    ),
    Case(
        "signals to the victim as a file's owner",
        tried(
            """
                import fcntl
                a, b = socket.socketpair()
                for set_owner in (
                    lambda: fcntl.fcntl(a, fcntl.F_SETOWN, {victim_pid}),
                    lambda: fcntl.ioctl(a, 0x8901, struct.pack('i', {victim_pid})),
                    lambda: fcntl.ioctl(a, 0x8902, struct.pack('i', {victim_pid})),
                    lambda: fcntl.fcntl(a, 15, struct.pack('ii', 1, {victim_pid})),
                ):
                    try:
                        set_owner()
                        fcntl.fcntl(a, 10, 9)
                        fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC)
                        b.send(b'x')
                    except OSError:
                        pass
                """
        ),
    ),
    Case(
        "what is counted, right",
        before("import os, sys\nsys.setrecursionlimit(1000 + os.getpid() % 7)\nHERE = os.getcwd()", RIGHT),
        "Correct",
        gt_correct=True,
    ),
]
