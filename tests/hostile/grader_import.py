"""The grader imported by what it grades: its sources, its tests, its packages."""

from hostile.case import SECRET, Case, thief, tried

CASES = [
    Case("core.environment.rewards", tried("import core.environment.rewards\nprint('{escaped}')")),
    Case(
        "core.environment.rewards by its path",
        tried("sys.path.insert(0, '{repo}')\nimport core.environment.rewards\nprint('{escaped}')"),
    ),
    Case(
        "core.environment.problems by its path",
        tried("sys.path.insert(0, '{repo}')\nimport core.environment.problems\nprint('{escaped}')"),
    ),
    Case(
        "tests by their path",
        tried("sys.path.insert(0, '{repo}/tests')\nimport hostile.case\nprint(hostile.case.SOURCE_MARK)"),
    ),
    Case(
        "core.sandbox.jail.answers from inside",
        tried(
            """
                import core.sandbox.jail.answers
                core.sandbox.jail.answers.matches = lambda *_: True
                core.sandbox.jail.answers.encoded = lambda *_: '6'
                core.sandbox.jail.answers.SCALARS = frozenset({object})
                """
        ),
    ),
    Case(
        "core.sandbox.jail.server used",
        tried(
            """
                from core.sandbox.jail import server
                server._kill(os.getppid())
                server._clear('{outside_dir}')
                server.OUTPUT_CAP = 1 << 40
                """
        ),
    ),
    Case(
        "core.sandbox.jail.judge used",
        tried(
            """
                from core.sandbox.jail import judge
                check = {'kind': 'calls', 'setup': '', 'program': '', 'steps': ('6',), 'attributes': ()}
                judge.judge(check, type('Out', (), {'report': print, 'flush': print})())
                judge.KINDS.clear()
                """
        ),
    ),
    Case(
        "sandbox in the sandbox",
        tried(
            """
                sys.path.insert(0, '{repo}')
                from core.sandbox import Sandbox, Check
                print(Sandbox().run([Check('calls', '', '', steps=('1',))])[0].answers, '{escaped}')
                """
        ),
    ),
    Case(
        "server's checks from its frames",
        thief(
            """
                import sys
                f = sys._getframe()
                while f:
                    if 'check' in f.f_locals or 'running' in f.f_locals:
                        look(f.f_locals)
                        for child in (f.f_locals.get('running') or {}).values():
                            look(vars(child))
                    f = f.f_back
                """
        ),
        problem=SECRET,
    ),
    Case(
        "all of sys.path",
        tried(
            """
                for folder in sys.path + [os.path.dirname(sys.executable) + '/../lib']:
                    for name in os.listdir(folder or '.'):
                        if name in ('core', 'tests', 'worker', 'orchestrator'):
                            print('{escaped}')
                """
        ),
    ),
    Case("torch", tried("import torch\nprint('{escaped}')")),
    Case(
        "site-packages",
        tried(
            """
                import site, glob
                sys.path += site.getsitepackages() + glob.glob(sys.prefix + '/lib/*/site-packages')
                import numpy
                print('{escaped}')
                """
        ),
    ),
    Case(
        "site-packages of the clone",
        tried(
            "import glob\nsys.path += glob.glob('{repo}/.venv/lib/*/site-packages')\nimport _pytest\nprint('{escaped}')"
        ),
    ),
    Case(
        "pytest's session",
        tried("import gc, sys\nif any('pytest' in name for name in sys.modules):\n    print('{escaped}')"),
    ),
    Case(
        "module shadowed in the cwd",
        tried(
            """
                open('json.py', 'w').write('1 / 0')
                open('core.py', 'w').write('1 / 0')
                sys.path.insert(0, '')
                sys.modules.pop('json', None)
                """
        ),
    ),
    Case(
        "reloaded grader",
        tried(
            """
                import importlib, core.sandbox.jail.judge, core.sandbox.jail.answers
                importlib.reload(core.sandbox.jail.answers)
                importlib.reload(core.sandbox.jail.judge)
                """
        ),
    ),
]
