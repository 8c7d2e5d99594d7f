"""A service of AWS that answers what it is told: python3 fake.py ADDRESS PORT SCRIPT

SCRIPT is JSON, {"turn": N, "rules": [...]}, taken up when it has changed.  A rule has "method", "path" (a
prefix) and "with" (text that head or body must hold), all of which may be left out, and "answers"; the first that
fits answers, each of its answers once and the last for good.  An answer has "status", "headers",
"body", or "do": "hang" (says nothing more), "close", "cut" (closes after half of the body); with "after": N it
waits until N requests have come.  Prints "ready" once it listens and then a line of JSON for each
request; ends when its standard input does.
"""
import asyncio
import json
import os
import sys

state = {"text": None, "rules": [], "seen": 0}


def rules(path):
    with open(path) as file:
        text = file.read()
    if text != state["text"]:
        state.update(text=text, rules=json.loads(text)["rules"], seen=0)
    return state["rules"]


def find(path, method, target, text):
    found = rules(path)
    state["seen"] += 1
    for rule in found:
        if rule.get("method", method) == method and target.startswith(rule.get("path", "")) \
                and rule.get("with", "") in text:
            answers = rule["answers"]
            return answers.pop(0) if len(answers) > 1 else answers[0]
    return {"status": 404, "body": "<html>not here</html>"}


async def read_request(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, target, _ = first.split(" ")
    return method, target, headers, body.decode("latin-1")


async def answer(writer, said, method):
    do = said.get("do")
    while state["seen"] < said.get("after", 0):
        await asyncio.sleep(0.01)
    if do == "hang":
        await asyncio.sleep(3600)
    body = said.get("body", "").encode()
    lines = ["HTTP/1.1 %d X" % said.get("status", 200)]
    if said.get("status") != 204:
        lines.append("Content-Length: %d" % len(body))
    lines += ["%s: %s" % pair for pair in said.get("headers", {}).items()]
    if do != "close":
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        writer.write(b"" if method == "HEAD" else body[: len(body) // 2] if do == "cut" else body)
        await writer.drain()
    return do is None


def serving(path):
    async def serve(reader, writer):
        try:
            while True:
                method, target, headers, body = await read_request(reader)
                seen = {"method": method, "path": target, "headers": headers, "body": body}
                print(json.dumps(seen), flush=True)
                if not await answer(writer, find(path, method, target, json.dumps(headers) + body), method):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            pass
        finally:
            writer.close()

    return serve


async def main():
    address, port, path = sys.argv[1:]
    server = await asyncio.start_server(serving(path), address, int(port))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()
    os._exit(0)  # connections that hang stay with us no longer


asyncio.run(main())
