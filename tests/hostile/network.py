"""Nobody is to be reached. Canaries listen; the mark {escaped} stands where a socket alone is already too much."""

from hostile.case import SECRET, WRONG, Case, leak, tried

CASES = [
    Case("TCP", tried("socket.create_connection(('127.0.0.1', {tcp_port}), 1).sendall(b'hello')")),
    Case(
        "TCP from the method",
        WRONG.replace(
            "        return",
            "        import socket\n        socket.create_connection(('127.0.0.1', {tcp_port}), 1)\n        return",
        ),
    ),
    Case("TCP by IPv6", tried("socket.create_connection(('::ffff:127.0.0.1', {tcp_port}), 1)\nprint('{escaped}')")),
    Case(
        "TCP without blocking",
        tried("s = socket.socket()\ns.setblocking(False)\ns.connect_ex(('127.0.0.1', {tcp_port}))\nprint('{escaped}')"),
    ),
    Case("TCP fast open", tried("s = socket.socket()\ns.sendto(b'x', 0x20000000, ('127.0.0.1', {tcp_port}))")),
    Case(
        "TCP by ctypes",
        tried(
            """
                import ctypes, struct
                libc = ctypes.CDLL(None)
                fd = libc.socket(2, 1, 0)
                assert fd >= 0
                libc.connect(fd, struct.pack('=HH4s8x', 2, socket.htons({tcp_port}), bytes((127, 0, 0, 1))), 16)
                print('{escaped}')
                """
        ),
    ),
    Case("UDP", tried("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('127.0.0.1', {tcp_port}))")),
    Case("unix socket", tried("s = socket.socket(socket.AF_UNIX)\ns.connect('{unix_socket}')\ns.sendall(b'hello')")),
    Case(
        "abstract unix socket",
        tried("s = socket.socket(socket.AF_UNIX)\ns.connect('\\0{abstract_socket}')\ns.sendall(b'hello')"),
    ),
    Case(
        "unix datagram to every path",
        tried(
            """
                import glob
                for path in glob.glob('/tmp/**/*sock*', recursive=True) + glob.glob('/run/**/*sock*', recursive=True):
                    s = socket.socket(socket.AF_UNIX)
                    s.settimeout(0.2)
                    s.connect(path)
                """
        ),
    ),
    Case(
        "name service",
        tried("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53))\nprint('{escaped}')"),
    ),
    Case("name look-up", tried("print(socket.gethostbyname('localhost'))")),
    Case(
        "raw socket", tried("socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\nprint('{escaped}')")
    ),
    Case("packet socket", tried("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\nprint('{escaped}')")),
    Case("netlink", tried("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))\nprint('{escaped}')")),
    Case("vsock", tried("socket.socket(40, socket.SOCK_STREAM)\nprint('{escaped}')")),
    Case("kernel crypto", tried("socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)\nprint('{escaped}')")),
    Case("urllib", tried("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{tcp_port}/', timeout=0.3)")),
    Case("server", tried("s = socket.create_server(('127.0.0.1', 0))\nprint('{escaped}')")),
    Case(
        "http.server",
        tried(
            """
                import http.server
                http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
                print('{escaped}')
                """
        ),
    ),
    Case(
        "asyncio",
        tried(
            """
                import asyncio
                async def go():
                    await asyncio.wait_for(asyncio.open_connection('127.0.0.1', {tcp_port}), 1)
                asyncio.run(go())
                """
        ),
    ),
    Case(
        "interfaces", tried("names = [name for _, name in socket.if_nameindex() if name != 'lo']\nprint('{escaped}')")
    ),
    Case(
        "io_uring",
        tried(
            """
                import ctypes
                if ctypes.CDLL(None).syscall(425, 4, (ctypes.c_uint32 * 32)()) >= 0:
                    print('{escaped}')
                """
        ),
    ),
    Case(
        "abstract socket as a channel",
        leak(
            """
                import socket
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                s.bind('\\0hostile-{tag}')
                print('{escaped}')
                """,
            "return None",
        ),
        problem=SECRET,
        rounds=2,
    ),
]
