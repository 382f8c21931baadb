"""Other processes: read, traced, killed, starved, and used as a channel between checks."""

from hostile.case import SECRET, SIBLING, Case, leak, thief, tried

SHM = "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\n"
QUEUE = "import ctypes\nlibc = ctypes.CDLL(None)\n"
KEY = "import ctypes\nsyscall = ctypes.CDLL(None).syscall\n"


def by_key(ring):
    put = "syscall(248, b'user', b'hostile-{tag}', value.encode(), len(value), RING)"
    get = """
        buffer = ctypes.create_string_buffer(100)
        key = syscall(250, 10, RING, b'user', b'hostile-{tag}', 0)
        return buffer.raw[:size] if (size := syscall(250, 11, key, buffer, 100)) > 0 else None
        """
    return leak(put.replace("RING", ring), get.replace("RING", ring), KEY)


CASES = [
    Case(
        "/proc is walked",
        thief(
            """
            import os
            for pid in os.listdir('/proc'):
                for name in ('environ', 'cmdline', 'mem', 'maps', 'fd/0', 'fd/1', 'fd/3', 'cwd/jobs.sqlite'):
                    try:
                        look(os.read(os.open(f'/proc/{pid}/{name}', os.O_RDONLY | os.O_NONBLOCK), 1 << 16))
                    except OSError:
                        pass
            """
        ),
        problem=SECRET,
    ),
    Case(
        "parent's command line",
        tried("print(open('/proc/{victim_pid}/cmdline').read(), open(f'/proc/{os.getppid()}/cmdline').read())"),
    ),
    Case("victim's environment", tried("print(open('/proc/{victim_pid}/environ').read())")),
    Case(
        "parent's memory",
        thief(
            """
                import os, re
                for pid in ({parent_pid}, os.getppid()):
                    try:
                        maps = open(f'/proc/{pid}/maps').read()
                        mem = open(f'/proc/{pid}/mem', 'rb')
                        for a, b in re.findall(r'^([0-9a-f]+)-([0-9a-f]+) rw', maps, re.M):
                            mem.seek(int(a, 16))
                            look(mem.read(int(b, 16) - int(a, 16)))
                    except OSError:
                        pass
                """
        ),
        problem=SECRET,
    ),
    Case(
        "own memory by /proc",
        thief(
            """
                import re
                try:
                    mem = open('/proc/self/mem', 'rb')
                    for a, b in re.findall(r'^([0-9a-f]+)-([0-9a-f]+) rw', open('/proc/self/maps').read(), re.M):
                        mem.seek(int(a, 16))
                        data = mem.read(int(b, 16) - int(a, 16))
                        look(data)
                except OSError:
                    pass
                """
        ),
        problem=SECRET,
        sibling=SIBLING,
    ),
    Case(
        "parent's descriptors",
        tried(
            """
                for fd in range(8):
                    try:
                        os.open(f'/proc/{os.getppid()}/fd/{fd}', os.O_RDWR | os.O_NONBLOCK)
                        print('{escaped}')
                    except OSError:
                        pass
                """
        ),
    ),
    Case("parent's root", tried("print(os.listdir('/proc/{parent_pid}/root'), '{escaped}')")),
    Case("/proc/1", tried("print(os.listdir('/proc/1/root'), open('/proc/1/environ').read(), '{escaped}')")),
    Case(
        "ptrace of the parent",
        tried(
            """
                for pid in (os.getppid(), {victim_pid}):
                    if libc.ptrace(16, pid, None, None) == 0:
                        print('{escaped}')
                """
        ),
    ),
    Case("ptrace by a tracee", tried("if libc.ptrace(0, 0, None, None) == 0:\n    print('{escaped}')")),
    Case(
        "process_vm_readv",
        tried(
            """
                buffer = ctypes.create_string_buffer(8)
                iov = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
                for pid in (os.getppid(), {victim_pid}, {parent_pid}):
                    far = (ctypes.c_void_p * 2)(id(os), 8)
                    if libc.process_vm_readv(pid, iov, 1, far, 1, 0) > 0:
                        print('{escaped}')
                """
        ),
    ),
    Case(
        "pidfd_getfd",
        tried(
            """
                for pid in (os.getppid(), {victim_pid}):
                    fd = libc.syscall(434, pid, 0)
                    for n in range(8):
                        if libc.syscall(438, fd, n, 0) >= 0:
                            print('{escaped}')
                """
        ),
    ),
    Case("parent killed", tried("os.kill({victim_pid}, 9)\nprint('{escaped}')")),
    # A server may sit in another process namespace; then its pid is 0 here, which is no one's, or oneself's group.
    Case("server killed", tried("if os.getppid() > 1:\n    os.kill(os.getppid(), 9)\n    print('{escaped}')")),
    Case("everything killed", tried("os.kill(-1, 9)"), compiles=None),
    Case("own group killed", tried("os.kill(0, 9)"), compiles=None),
    Case(
        "server stopped",
        tried("if os.getppid() > 1:\n    os.kill(os.getppid(), signal.SIGSTOP)\n    print('{escaped}')"),
    ),
    Case(
        "neighbours killed",
        tried(
            """
                for pid in range(2, 400):
                    if pid != os.getpid():
                        try:
                            os.kill(pid, 9)
                            print('{escaped}')
                        except OSError:
                            pass
                """
        ),
        compiles=None,
    ),
    Case("priority", tried("os.setpriority(os.PRIO_PROCESS, {victim_pid}, 19)\nprint('{escaped}')")),
    Case("own priority", tried("os.nice(-20)\nprint('{escaped}')")),
    Case(
        "prlimit on the parent",
        tried(
            """
                import resource
                for pid in (os.getppid(), {victim_pid}):
                    if pid > 1:
                        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, 1))
                        print('{escaped}')
                """
        ),
    ),
    Case("scheduler of the parent", tried("os.sched_setaffinity({victim_pid}, {0})\nprint('{escaped}')")),
    Case(
        "real-time scheduler", tried("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))\nprint('{escaped}')")
    ),
    Case(
        "pidfd signal",
        tried(
            """
                for pid in (os.getppid(), {victim_pid}):
                    fd = os.pidfd_open(pid)
                    if libc.syscall(424, fd, 9, None, 0) == 0:
                        print('{escaped}')
                """
        ),
    ),
    Case("queued signal", tried("libc.sigqueue({victim_pid}, 9, None) == 0 and print('{escaped}')")),
    Case(
        "signals by fcntl owner",
        tried(
            """
                r, w = os.pipe()
                import fcntl
                fcntl.fcntl(r, fcntl.F_SETOWN, {victim_pid})
                fcntl.fcntl(r, 10, 9)
                fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)
                os.write(w, b'x')
                """
        ),
    ),
    Case(
        "kernel log, bpf, perf, userfaultfd",
        tried(
            """
            none = bytes(128)
            for call in ((103, 3, None, 0), (321, 0, none, 128), (298, none, 0, -1, -1, 0), (323, 0)):
                if libc.syscall(*call) >= 0:
                    print('{escaped}')
            """
        ),
    ),
    Case("host name", tried("import socket\nsocket.sethostname('x')\nprint('{escaped}')")),
    Case("clock", tried("import time\ntime.clock_settime(time.CLOCK_REALTIME, time.time())\nprint('{escaped}')")),
    Case(
        "capabilities",
        tried(
            """
                wanted = struct.pack('6I', 1 << 21, 1 << 21, 0, 0, 0, 0)
                if libc.syscall(126, struct.pack('Ii', 0x20080522, 0), wanted) == 0:
                    print('{escaped}')
                """
        ),
    ),
    Case(
        "System V memory as a channel",
        leak(
            """
                at = libc.shmat(libc.shmget(int('{tag}', 16) >> 1, 4096, 0o1666), None, 0)
                ctypes.memmove(at, value.encode(), len(value))
                """,
            """
                key = libc.shmget(int('{tag}', 16) >> 1, 4096, 0o666)
                return ctypes.string_at(libc.shmat(key, None, 0), 27) if key >= 0 else None
                """,
            SHM,
        ),
        problem=SECRET,
        rounds=2,
    ),
    Case(
        "System V queue as a channel",
        leak(
            """
                import struct
                for _ in range(3):
                    queue = libc.msgget(int('{tag}', 16) >> 1, 0o1666)
                    libc.msgsnd(queue, struct.pack('l', 1) + value.encode(), len(value), 0o4000)
                """,
            """
                buffer = ctypes.create_string_buffer(100)
                key = libc.msgget(int('{tag}', 16) >> 1, 0o666)
                return buffer.raw[8:35] if key >= 0 and libc.msgrcv(key, buffer, 90, 0, 0o4000) > 0 else None
                """,
            QUEUE,
        ),
        problem=SECRET,
        rounds=2,
    ),
    Case(
        "POSIX queue as a channel",
        leak(
            """
                import struct
                fd = syscall(240, b'hostile-{tag}', 0o102 | 0o4000, 0o666, None)
                for _ in range(3):
                    syscall(242, fd, value.encode(), len(value), 0, None)
                """,
            """
                buffer = ctypes.create_string_buffer(8192)
                fd = syscall(240, b'hostile-{tag}', 0o4000, 0, None)
                return buffer.raw[:got] if (got := syscall(243, fd, buffer, 8192, None, None)) > 0 else None
                """,
            KEY,
        ),
        problem=SECRET,
        rounds=2,
    ),
    Case("session keyring as a channel", by_key("-3"), problem=SECRET, rounds=2),
    Case("user keyring as a channel", by_key("-4"), problem=SECRET, rounds=2),
    Case("process keyring as a channel", by_key("-2"), problem=SECRET, rounds=2),
    Case(
        "POSIX memory as a channel",
        leak(
            """
                from multiprocessing import shared_memory
                import os
                m = shared_memory.SharedMemory('hostile-{tag}', True, 100)
                m.buf[:27] = value.encode()
                os.chmod('/dev/shm/hostile-{tag}', 0o666)
                os._exit(0)
                """,
            "return open('/dev/shm/hostile-{tag}', 'rb').read(27)",
        ),
        problem=SECRET,
        rounds=2,
    ),
]
