"""A listener of bad answers: python3 listener.py CONFIG.json

CONFIG is a list of {"address", "port", "kind", ...}.  Kinds:
  pages   answers "pages" {path: [status, body, {header: value}]}, "*" for every other path
  cut     promises more bytes than it sends        huge     sends for ever
  drip    a byte of the body every 50 ms           reset    resets after the request
  silent  reads and says nothing                   close    closes without a byte
  noise   answers what is not HTTP                 hole     a full queue: connections time out
  echo    answers the request itself
"token" is wanted as Authorization by what begins with /v3/.  "plain": true answers before it reads, as a server does that is spoken TLS to.  "tls": {"cert", "key", "ca"} puts TLS in front; with "ca" a client certificate is demanded.
Prints "ready" when all ports are open, ends when its standard input does.
"""
import asyncio
import json
import socket
import ssl
import struct
import sys
import threading
import time

RESET = struct.pack("ii", 1, 0)


def request(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = conn.recv(4096)
        if not piece:
            return None
        data += piece
    begin, _, body = data.partition(b"\r\n\r\n")
    while len(body) < length_of(begin):
        body += conn.recv(4096)
    return path_of(begin)


class Pages(asyncio.Protocol):
    """Pages on a plain port, without a thread for each client: bench/probe.lua has hundreds."""

    def __init__(self, spec):
        self.spec = spec
        self.data = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        begin, sep, body = self.data.partition(b"\r\n\r\n")
        if not sep or len(body) < length_of(begin):
            return
        self.data = body[length_of(begin):]
        if self.spec["kind"] == "echo":
            whole = begin + sep + body[:length_of(begin)]
            self.transport.write(head(200, len(whole)) + whole)
            return
        self.transport.write(self.refused(begin) or page(self.spec, path_of(begin)))

    def refused(self, begin):
        """As etcd's gateway does with its auth on, to whom does not know the token."""
        if "token" not in self.spec or not path_of(begin).startswith("/v3/"):
            return None
        given = [line[15:].decode() for line in begin.split(b"\r\n") if line.lower().startswith(b"authorization: ")]
        if given == [self.spec["token"]]:
            return None
        what = "invalid auth token" if given else "user name is empty"
        body = json.dumps({"code": 16, "message": "etcdserver: " + what}).encode()
        return head(401 if given else 400, len(body)) + body


def length_of(begin):
    for line in begin.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def path_of(begin):
    return begin.split(b" ")[1].decode()


def page(spec, path):
    pages = spec["pages"]
    found = pages.get(path) or pages.get("*") or [404, "404 page not found"]
    body = found[1].encode()
    return head(found[0], len(body), found[2] if len(found) > 2 else None) + body


def head(status, length, headers=None):
    lines = ["HTTP/1.1 %d X" % status, "Content-Length: %d" % length]
    lines += ["%s: %s" % item for item in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(conn, spec, path):
    kind = spec["kind"]
    if kind == "pages":
        conn.sendall(page(spec, path))
        return True
    if kind == "cut":
        conn.sendall(head(200, 1000) + b'{"health":')
    elif kind == "huge":
        conn.sendall(head(200, 1 << 30))
        while True:
            conn.sendall(b" " * 65536)
    elif kind == "drip":
        conn.sendall(head(200, 10000))
        while True:
            conn.sendall(b" ")
            time.sleep(0.05)
    elif kind == "reset":
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    elif kind == "silent":
        while conn.recv(4096):
            pass
    elif kind == "noise":
        conn.sendall(b"\x15\x03\x01\x00\x02\x02\x46 not HTTP at all\r\n\r\n")
    return False


def serve(conn, spec, context):
    raw = conn.dup()  # closing with bytes unread would reset, and a TLS server of Go's does not
    try:
        if context:
            try:
                conn = context.wrap_socket(conn, server_side=True)
            except ssl.SSLError:
                raw.recv(65536, socket.MSG_DONTWAIT)
                raise
        elif "plain" in spec:
            raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            raw.recv(65536)
            return
        while True:
            path = request(conn)
            if path is None or not answer(conn, spec, path):
                break
    except OSError:
        pass
    finally:
        raw.close()
        conn.close()


def accept(sock, spec, context):
    while True:
        conn, _ = sock.accept()
        threading.Thread(target=serve, args=(conn, spec, context), daemon=True).start()


def fill(sock, kept):
    """Connect until the kernel drops what comes: the queue of a listener that never accepts."""
    for _ in range(3):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(sock.getsockname())
        kept.append(s)


def main():
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kept, plain = [], []
    with open(sys.argv[1]) as f:
        specs = json.load(f)
    for spec in specs:
        sock = socket.socket(socket.AF_INET6 if ":" in spec["address"] else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((spec["address"], spec["port"]))
        kept.append(sock)
        if spec["kind"] == "hole":
            sock.listen(0)
            fill(sock, kept)
            continue
        sock.listen(512)
        context = None
        if spec["kind"] in ("pages", "echo") and "tls" not in spec and "plain" not in spec:
            plain.append((sock, spec))
            continue
        if "tls" in spec:
            tls = spec["tls"]
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            if tls.get("max"):
                context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(tls["cert"], tls["key"])
            if tls.get("ca"):
                context.load_verify_locations(tls["ca"])
                context.verify_mode = ssl.CERT_REQUIRED
        threading.Thread(target=accept, args=(sock, spec, context), daemon=True).start()
    asyncio.run(serve_pages(plain))


async def serve_pages(plain):
    loop = asyncio.get_running_loop()
    for sock, spec in plain:
        await loop.create_server(lambda spec=spec: Pages(spec), sock=sock, backlog=512)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


main()
