#!/usr/bin/env python3
"""Listeners that misbehave on purpose, for the world specs.

    faults.py blackhole ADDRESS PORT...          the connection never completes
    faults.py answer KIND ADDRESS PORT...        every request gets the same bad answer

Prints "ready" once it listens, and runs until it is killed.  --log FILE gets a line per request:
time, method, path, kind.  In front of a real server: proxy.py.
"""

import argparse
import asyncio
import socket
import ssl
import sys
import time

HTML = b"<!DOCTYPE html><html><body>captive portal, please log in</body></html>"
CUT = b'{"members":[{"id":1234,"peerURLs":["http://127.0.0.1'


def response(status, body, content_type="application/json", length=None):
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


ANSWERS = {
    "404": response("404 Not Found", b"404 page not found\n", "text/plain"),
    "500": response("500 Internal Server Error", b"oops\n", "text/plain"),
    "401": response("401 Unauthorized", b"{}"),
    "403": response("403 Forbidden", b"{}"),
    "cut": response("200 OK", CUT),
    "short": response("200 OK", CUT, length=5000),
    "html": response("200 OK", HTML, "text/html"),
    "empty": response("200 OK", b""),
    "nothing": b"",
    "garbage": b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n",
    "deep": response("200 OK", b"[" * 10000),
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
}


class Log:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1) if path else None

    def line(self, request, status):
        if self.file:
            words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            method, path = (words + ["-", "-"])[:2]
            self.file.write(f"{time.time():.3f} {method} {path} {status}\n")


async def read_request(reader):
    """One request's head and body, or b'' where the client went away."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, OSError):
        return b"", b""
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head, await reader.readexactly(length) if length else b""


async def finish(writer):
    try:
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    except (ConnectionError, OSError, ssl.SSLError):
        pass


def answering(kind, log):
    async def serve(reader, writer):
        head, _ = await read_request(reader)
        if head:
            log.line(head, kind)
        if kind == "hang":
            await asyncio.sleep(3600)
        elif kind == "drip":
            for byte in response("200 OK", b" " * 3600):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        elif kind == "huge":
            writer.write(response("200 OK", b"", length=1 << 30))
            for _ in range(1 << 10):
                writer.write(b" " * (1 << 20))
                await writer.drain()
        else:
            writer.write(ANSWERS[kind])
        await finish(writer)

    async def guarded(reader, writer):
        try:
            await serve(reader, writer)
        except (ConnectionError, OSError, ssl.SSLError):
            pass

    return guarded


def blackhole(address, ports):
    """Listeners whose queue is full: the handshake is dropped, so a connection times out."""
    kept = []
    for port in ports:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        kept.append(listener)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((address, port))
            kept.append(filler)
    return kept


def tls_context(options):
    if not options.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    if options.client_ca:
        context.load_verify_locations(options.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def run(options, rest):
    log = Log(options.log)
    kept = []
    if options.what == "blackhole":
        kept = blackhole(rest[0], [int(p) for p in rest[1:]])
    else:
        handler = answering(rest[0], log)
        for port in rest[2:]:
            kept.append(await asyncio.start_server(
                handler, rest[1], int(port), ssl=tls_context(options)))
    print("ready", flush=True)
    await asyncio.Event().wait()
    return kept


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["blackhole", "answer"])
    for option in ("--log", "--cert", "--key", "--client-ca"):
        parser.add_argument(option)
    options, rest = parser.parse_known_args()
    try:
        asyncio.run(run(options, rest))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
