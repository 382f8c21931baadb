"""Objects that run code where they are read, if anybody ever unpickles or unmarshals what an answer says."""

from hostile.case import NESTED, Case, before, lines, method

BOOBY = lines(
    """
    class Booby:
        def __reduce__(self):
            return (open, ('{outside_dir}/unpickled', 'w'))
        __reduce_ex__ = lambda self, protocol: self.__reduce__()
        def __deepcopy__(self, memo):
            return 6
        __copy__ = __getstate__ = lambda self: 6
    """
)

CASES = [
    Case("__reduce__", method("pass", "Booby()", top=BOOBY)),
    Case("__reduce__ inside", method("pass", "[n, [Booby(), 'x']]", "nest", BOOBY), problem=NESTED),
    Case("pickled bytes as an answer", method("import pickle", "pickle.dumps(6)")),
    Case(
        "pickled payload as an answer",
        method("pass", "b\"cbuiltins\\nopen\\n(S'{outside_dir}/unpickled'\\nS'w'\\ntR.\""),
    ),
    Case(
        "payload unpickled here", method("import pickle", "pickle.loads(b\"cbuiltins\\neval\\n(S'n * 0 + 6'\\ntR.\")")
    ),
    Case(
        "copyreg",
        before(
            """
                import copyreg
                copyreg.pickle(int, lambda n: (int, (6,)))
                copyreg.dispatch_table[int] = lambda n: (int, (6,))
                """
        ),
    ),
    Case("copyreg, extension codes", before("import copyreg\ncopyreg.add_extension('builtins', 'eval', 1)")),
    Case(
        "shelve", before("import shelve\nwith shelve.open('result') as held:\n    held['PASS'] = 6"), mode="run_tests"
    ),
    Case("marshalled code as an answer", method("import marshal", "marshal.dumps(compile('6', '', 'eval'))")),
    Case("code object as an answer", method("pass", "compile('6', '', 'eval')")),
    Case("marshal of rubbish", method("import marshal\nmarshal.loads(b'c' + bytes(range(256)) * 4)")),
    Case("marshal bomb", method("import marshal\nmarshal.loads(b'[' + b'\\xff\\xff\\xff\\x7f' + b'N' * 100)")),
    Case(
        "code that crashes the interpreter",
        method(
            """
                code = (lambda: None).__code__.replace(co_code=bytes((100, 255)) * 20, co_consts=())
                (lambda: 0).__class__(code, {})()
                """
        ),
        compiles=False,
    ),
    Case(
        "crash at import",
        before("code = (lambda: None).__code__.replace(co_code=bytes((124, 200)) * 20, co_stacksize=0)\nexec(code)"),
        compiles=None,
    ),
    Case(
        "right code object",
        before("code = compile('n + n', '', 'eval')", method("pass", "eval(code, {'n': n})")),
        "Correct",
        gt_correct=True,
    ),
    Case("object by gc", method("import gc\nheld = (x for x in ())\nheld = gc.get_referents(held)", "held")),
    Case(
        "type of a freed object",
        method(
            """
                import ctypes
                ctypes.pythonapi.Py_DecRef(ctypes.py_object(n))
                ctypes.pythonapi.Py_DecRef(ctypes.py_object(n))
                """
        ),
    ),
    Case(
        "reference count gone wrong",
        method("import ctypes\nheld = [n]\nctypes.memset(id(held), 0, 8)", "held"),
        compiles=None,
    ),
]
