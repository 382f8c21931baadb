"""Code that wants to be there when its check is over. Threads are allowed, processes are not."""

from hostile.case import RIGHT, Case, after, before, method, tried

FORKED = "    os.write(1, b'{escaped}')\n    time.sleep(20)\n    os._exit(0)\n"


CASES = [
    Case(
        "thread that computes the answer",
        method(
            "import threading\nheld = []\nt = threading.Thread(target=lambda: held.append(n + n))\nt.start()\nt.join()",
            "held[0]",
        ),
        "Correct",
        gt_correct=True,
    ),
    Case(
        "daemon thread, right",
        before(
            """
                import threading, time
                try:
                    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
                except RuntimeError:
                    pass
                """,
            RIGHT,
        ),
        "Correct",
        gt_correct=True,
    ),
    Case(
        "thread that blocks at exit, right",
        before(
            """
                import threading, time
                try:
                    threading.Thread(target=time.sleep, args=(20,)).start()
                except RuntimeError:
                    pass
                """,
            RIGHT,
        ),
        "Correct",
        gt_correct=True,
    ),
    Case(
        "thread that changes answers later",
        before(
            """
                import threading, time
                def later():
                    time.sleep(0.01)
                    Solution.twice = lambda self, n: 6
                try:
                    threading.Thread(target=later, daemon=True).start()
                except RuntimeError:
                    pass
                """
        ),
    ),
    Case(
        "thread that writes to every descriptor",
        before(
            """
                import os, threading
                def flood():
                    while True:
                        for fd in (1, 2):
                            os.write(fd, b'x' * 100)
                try:
                    threading.Thread(target=flood, daemon=True).start()
                except RuntimeError:
                    pass
                """
        ),
    ),
    Case(
        "timer",
        before(
            """
                import os, threading
                try:
                    threading.Timer(0.001, os._exit, (0,)).start()
                except RuntimeError:
                    pass
                """,
            method("import time\ntime.sleep(0.05)"),
        ),
        None,
        compiles=None,
    ),
    Case(
        "executor", tried("import concurrent.futures\nconcurrent.futures.ThreadPoolExecutor(4).submit(time.sleep, 20)")
    ),
    Case("fork", tried("if os.fork() == 0:\n" + FORKED)),
    Case(
        "double fork",
        tried(
            """
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        os.write(1, b'{escaped}')
                        time.sleep(20)
                    os._exit(0)
                os.wait()
                """
        ),
    ),
    Case("fork in the method", method("import os, time\nif os.fork() == 0:\n" + FORKED)),
    Case("forkpty", tried("pid, fd = os.forkpty()\nif pid == 0:\n" + FORKED)),
    Case("pty.spawn", tried("import pty\npty.spawn(['/bin/echo', '{escaped}'])")),
    Case("posix_spawn", tried("os.posix_spawn('/bin/echo', ['echo', '{escaped}'], {})\nos.wait()")),
    Case(
        "subprocess",
        tried(
            "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'echo {escaped}; sleep 20 &'], start_new_session=True)"
        ),
    ),
    Case(
        "subprocess in the background",
        tried("import subprocess\nsubprocess.Popen(['/bin/sleep', '20'], start_new_session=True)\nprint('{escaped}')"),
    ),
    Case("os.system", before("import os\nos.system('echo {escaped}; nohup setsid sleep 20 >/dev/null 2>&1 &')")),
    Case("os.popen", tried("print(os.popen('echo {escaped}').read())")),
    Case(
        "multiprocessing",
        tried(
            """
                import multiprocessing
                p = multiprocessing.get_context('fork').Process(target=time.sleep, args=(20,))
                p.start()
                print('{escaped}')
                """
        ),
    ),
    Case(
        "multiprocessing, spawned",
        tried(
            """
                import multiprocessing
                p = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(20,))
                p.start()
                print('{escaped}')
                """
        ),
    ),
    Case(
        "clone by system call",
        tried(
            "import ctypes\npid = ctypes.CDLL(None, use_errno=True).syscall(56, 17, 0, 0, 0, 0)\nif pid == 0:\n"
            + FORKED
            + "assert pid > 0"
        ),
    ),
    Case(
        "clone3 by system call",
        tried(
            "args = (ctypes.c_uint64 * 11)()\nargs[4] = 17\npid = libc.syscall(435, args, 88)\nif pid == 0:\n"
            + FORKED
            + "assert pid > 0"
        ),
    ),
    Case(
        "clone into new namespaces",
        tried("pid = libc.syscall(56, 17 | 0x10000000 | 0x20000, 0, 0, 0, 0)\nif pid == 0:\n" + FORKED),
    ),
    Case(
        "vfork",
        tried(
            """
                import ctypes
                pid = ctypes.CDLL(None).syscall(58)
                if pid == 0:
                    os.write(1, b'{escaped}')
                    os._exit(0)
                """
        ),
    ),
    Case(
        "deaf to all signals, asleep",
        before(
            """
                import signal, time
                for number in range(1, 65):
                    try:
                        signal.signal(number, signal.SIG_IGN)
                    except (OSError, ValueError):
                        pass
                """,
            method("import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(60)"),
        ),
    ),
    Case(
        "deaf to SIGXCPU, busy",
        before("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)", method("while True: pass")),
    ),
    Case(
        "handler of SIGXCPU raises",
        before("import signal, sys\nsignal.signal(signal.SIGXCPU, lambda *_: sys.exit(0))", method("while True: pass")),
        compiles=True,
    ),
    Case("stops itself", method("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)")),
    Case("leaves its session and group", tried("os.setsid()\nos.setpgid(0, 0)")),
    Case(
        "survives its parent",
        before("import ctypes\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\nctypes.CDLL(None).prctl(36, 1, 0, 0, 0)"),
    ),
    Case(
        "pipe held open by a thread",
        after(
            """
                import os, threading, time
                fd = os.dup(1)
                try:
                    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
                except RuntimeError:
                    pass
                """,
            RIGHT,
        ),
        "Correct",
        gt_correct=True,
    ),
]
