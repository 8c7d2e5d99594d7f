#!/usr/bin/env python3
"""The fault proxy: routes of HTTP/1.1 in front of real servers, each exchange logged, any of them spoilt.

    proxy.py ADDRESS PORT      prints "ready" once its control listens there, runs until it is killed

What the control takes, JSON in and out:
    POST /route   {name, listen: [address, port], upstream: [address, port], serial, stream}
                  serial: one exchange at a time, for servers that bear no more; stream: a path's
                  beginning whose answers never end, passed on byte by byte
    POST /fault   a fault; the first that matches an exchange is applied to it
    GET /log      [{route, agent, service, key, action, method, path, status, fault, began, ended}];
                  seconds of one clock, ended null while it lasts, status null where the client got none
    POST /clear   {faults, log, routes}: forgets them; routes: [name], which are closed

A fault matches by route, service, key, action, method (equal) and path (a regular expression found
in it); skip passes over that many matches first, times ends it after so many.  What it does:
    delay seconds, before anything else; hang for ever
    reset the connection; after: the server has done its part, and only its answer is lost
    status, headers, body: this answer instead of the server's; html: a captive portal's page
    cut bytes, of the answer, with a length that says so; broken: with its true length
    date seconds, by which this side's clock is ahead: the Date of answers says so, and a signature
    that is five minutes away is refused as the services do
"""

import asyncio
import calendar
import email.utils
import json
import re
import socket
import struct
import sys
import time
import urllib.parse
from xml.sax.saxutils import escape

HTML = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please log in.<br></body></html>"
ANSWER_LIMIT = 1 << 26


class Gone(Exception):
    """The peer closed, or said something that is no HTTP."""


class Message:
    """A request or an answer: its first line, its headers in order, its body."""

    def __init__(self, first, headers, body=b""):
        self.first, self.headers, self.body = first, headers, body

    def get(self, name, default=""):
        return next((v for k, v in self.headers if k.lower() == name), default)

    def set(self, name, value):
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()]
        self.headers += [] if value is None else [(name, str(value))]

    def head(self):
        lines = [self.first] + [f"{k}: {v}" for k, v in self.headers]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


async def read_head(reader):
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as e:
        raise Gone from e
    first, *lines = text[:-4].split("\r\n")
    return Message(first, [tuple(p.strip() for p in line.split(":", 1)) for line in lines])


async def read_chunks(reader):
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    while await reader.readline() not in (b"\r\n", b""):
        pass
    return b"".join(parts)


async def read_body(message, reader, to_end):
    """Reads what follows the head; from here on it has a plain length."""
    try:
        if "chunked" in message.get("transfer-encoding").lower():
            message.body = await read_chunks(reader)
        elif message.get("content-length"):
            message.body = await reader.readexactly(int(message.get("content-length")))
        elif to_end:
            message.body = await reader.read(ANSWER_LIMIT)
    except (asyncio.IncompleteReadError, ValueError, ConnectionError) as e:
        raise Gone from e


# What is asked -----------------------------------------------------------------------------------

# Of services that have paths instead of actions: what IAM calls the request.
REST = {
    "s3": [("GET", r"^/[^/?]+/[^?]", "GetObject"), ("PUT", r"^/[^/?]+/[^?]", "PutObject"),
           ("GET", r"^/[^/?]+/?(\?|$)", "ListBucket"), ("DELETE", r"^/[^/?]+/[^?]", "DeleteObject")],
    "route53": [("GET", r"/hostedzone/[^/]+/rrset", "ListResourceRecordSets"),
                ("POST", r"/hostedzone/[^/]+/rrset", "ChangeResourceRecordSets"),
                ("GET", r"/hostedzone/[^/]+$", "GetHostedZone"), ("GET", r"/change/", "GetChange"),
                ("GET", r"/hostedzonesbyname", "ListHostedZonesByName"),
                ("GET", r"/hostedzone(\?|$)", "ListHostedZones")],
}


def asked(request):
    """Key and service by the credential's scope, the action by the form or by the path."""
    method, path = (request.first.split(" ") + ["", ""])[:2]
    scope = re.search(r"Credential=([^/]*)/\d+/[^/]*/([^/]+)/aws4_request", request.get("authorization"))
    key, service = scope.groups() if scope else (None, None)
    action = None
    if "form" in request.get("content-type"):
        action = dict(urllib.parse.parse_qsl(request.body.decode("latin-1"))).get("Action")
    for verb, pattern, name in REST.get(service, []):
        if not action and verb == method and re.search(pattern, path):
            action = name
    return {"agent": request.get("user-agent"), "service": service, "key": key, "action": action,
            "method": method, "path": path}


# What goes wrong ---------------------------------------------------------------------------------

class Fault:
    def __init__(self, what):
        self.what, self.seen, self.used = what, 0, 0

    def takes(self, exchange):
        for key in ("route", "service", "key", "action", "method"):
            if key in self.what and self.what[key] != exchange[key]:
                return False
        if not re.search(self.what.get("path", ""), exchange["path"]):
            return False
        self.seen += 1
        if self.seen <= self.what.get("skip", 0) or self.used >= self.what.get("times", 1 << 30):
            return False
        self.used += 1
        return True

    def __getattr__(self, name):
        return self.what.get(name)

    def spoil(self, answer):
        if self.cut is not None:
            size = len(answer.body)
            answer.body = answer.body[:self.cut]
            answer.set("Content-Length", size if self.broken else len(answer.body))
        if self.date:
            answer.set("Date", email.utils.formatdate(time.time() + self.date, usegmt=True))

    def answer(self, exchange, request):
        """The answer that needs no server, if this fault has one."""
        if self.html:
            return made(self.status or 200, HTML, {"Content-Type": "text/html"})
        if self.status:
            return made(self.status, (self.body or "").encode(), self.headers or {})
        stamp = re.match(r"\d{8}T\d{6}Z$", request.get("x-amz-date"))
        if self.date and stamp:
            signed = calendar.timegm(time.strptime(stamp.group(), "%Y%m%dT%H%M%SZ"))
            if abs(signed - time.time() - self.date) > 300:
                return skewed(exchange["service"])
        return None


def made(status, body, headers):
    message = Message(f"HTTP/1.1 {status} -", [("Date", email.utils.formatdate(usegmt=True))], body)
    for name, value in headers.items():
        message.set(name, value)
    message.set("Content-Length", len(body))
    return message


def error(code, text):
    return f"<Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>"


def skewed(service):
    if service == "ec2":
        body = error("RequestExpired", "Request has expired.")
        return made(400, f"<Response><Errors>{body}</Errors><RequestID>1</RequestID></Response>".encode(), {})
    if service == "s3":
        body = error("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
        return made(403, body.encode(), {})
    body = error("SignatureDoesNotMatch", "Signature expired: is now earlier than the time less 5 min.")
    return made(403, f"<ErrorResponse>{body}<RequestId>1</RequestId></ErrorResponse>".encode(), {})


# Exchanges ---------------------------------------------------------------------------------------

class Proxy:
    def __init__(self):
        self.routes, self.faults, self.log = {}, [], []

    async def open_route(self, o):
        route = dict(o, lock=asyncio.Lock())
        route["server"] = await asyncio.start_server(
            lambda r, w: self.client(route, r, w), *o["listen"], limit=1 << 20)
        self.routes[o["name"]] = route

    def clear(self, o):
        if o.get("faults"):
            self.faults = []
        if o.get("log"):
            self.log = []
        for name in o.get("routes") or []:
            if name in self.routes:
                self.routes.pop(name)["server"].close()

    async def client(self, route, reader, writer):
        """One connection, as many requests as the client likes."""
        try:
            while True:
                request = await read_head(reader)
                if "100-continue" in request.get("expect").lower():
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await read_body(request, reader, False)
                await self.exchange(route, request, reader, writer)
        except (Gone, ConnectionError, OSError):
            pass
        finally:
            writer.close()

    async def exchange(self, route, request, reader, writer):
        entry = dict(asked(request), route=route["name"], began=time.monotonic(), ended=None,
                     status=None, fault=False)
        self.log.append(entry)
        try:
            fault = next((f for f in self.faults if f.takes(entry)), Fault({}))
            entry["fault"] = bool(fault.what)
            await self.answer(route, request, fault, entry, reader, writer)
        finally:
            entry["ended"] = time.monotonic()

    async def answer(self, route, request, fault, entry, reader, writer):
        if fault.delay or fault.hang:
            await patience(fault.delay or 1e6, reader)
        if fault.reset and not fault.after:
            tear(writer)
        answer = fault.answer(entry, request)
        if route.get("stream") and entry["path"].startswith(route["stream"]):
            return await relay(route, request, entry, writer)
        if not answer or fault.after:
            came = await fetch(route, request)
            answer = answer or came
        fault.spoil(answer)
        if fault.reset:
            tear(writer)
        answer.set("Connection", "close" if fault.broken else None)
        entry["status"] = int(answer.first.split(" ")[1])
        writer.write(answer.head() + answer.body)
        await writer.drain()
        if fault.broken or request.get("connection").lower() == "close":
            raise Gone
        return None


async def patience(seconds, reader):
    """Waits, unless the client gives up first."""
    try:
        await asyncio.wait_for(reader.read(1), seconds)
    except asyncio.TimeoutError:
        return
    raise Gone


def tear(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Gone


async def connect(route, request):
    """Host and whatever else is signed stay as they are."""
    reader, writer = await asyncio.open_connection(*route["upstream"], limit=1 << 20)
    request.set("Connection", "close")
    request.set("Expect", None)
    if request.body or request.get("content-length") or request.get("transfer-encoding"):
        request.set("Transfer-Encoding", None)
        request.set("Content-Length", len(request.body))
    writer.write(request.head() + request.body)
    return reader, writer


async def fetch(route, request):
    async with route["lock"] if route.get("serial") else asyncio.Lock():
        try:
            reader, writer = await connect(route, request)
        except OSError as e:
            return made(502, f"{route['name']}: {e}".encode(), {})
        try:
            answer = await read_head(reader)
            status = int(answer.first.split(" ")[1])
            if not request.first.startswith("HEAD ") and status not in (204, 304):
                await read_body(answer, reader, True)
                answer.set("Transfer-Encoding", None)
                answer.set("Content-Length", len(answer.body))
            return answer
        finally:
            writer.close()


async def relay(route, request, entry, writer):
    reader, upstream = await connect(route, request)
    try:
        while data := await reader.read(1 << 16):
            entry["status"] = entry["status"] or int(data.split(b" ", 2)[1])
            writer.write(data)
            await writer.drain()
    finally:
        upstream.close()
    raise Gone


# Control -----------------------------------------------------------------------------------------

async def control(proxy, reader, writer):
    try:
        while True:
            request = await read_head(reader)
            await read_body(request, reader, False)
            path = request.first.split(" ")[1]
            said = json.loads(request.body or b"{}")
            if path == "/route":
                await proxy.open_route(said)
            elif path == "/fault":
                proxy.faults.append(Fault(said))
            elif path == "/clear":
                proxy.clear(said)
            answer = made(200, json.dumps(proxy.log).encode(), {"Content-Type": "application/json"})
            writer.write(answer.head() + answer.body)
            await writer.drain()
    except (Gone, ConnectionError):
        pass
    finally:
        writer.close()


async def main(address, port):
    proxy = Proxy()
    await asyncio.start_server(lambda r, w: control(proxy, r, w), address, int(port), limit=1 << 20)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
