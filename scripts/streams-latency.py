#!/usr/bin/env python3
"""What Tessera adds to a language model's first text, with many streams open, and what an open stream takes of memory.

    scripts/streams-latency.py TESSERA DATA_DIR [--streams 100] [--seconds 60] [--models-dir .cache/models]

Starts TESSERA over DATA_DIR, which holds the sample workspace, with a provider of its own as the language model. The provider takes
200 ms until its first text, which says how long that took by its own clock, and writes a word every 250 ms for ten seconds. As many streams are held open
as asked for, begun one after the other; when one ends, another begins. What is added is the time until the first `delta` less what the provider says.
"""

import argparse
import asyncio
import json
import pathlib
import random
import subprocess
import tempfile
import time

QUERIES = pathlib.Path(__file__).resolve().parent.parent / "samples" / "northwind-observatory.queries.jsonl"
FIRST_TEXT_SECONDS, WORD_SECONDS, WORDS = 0.2, 0.25, 40
# Between two questions whose embeddings are not known yet: all at once would be shed.
WARM_UP_SECONDS = 0.2


async def read_head(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = [int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length:")]
    body = await reader.readexactly(length[0]) if length else b""
    return head, body


async def provide(reader, writer):
    """Answers chat completions, one a connection."""
    try:
        await read_head(reader)
        asked = time.perf_counter()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")

        def event(delta, finish=None):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            writer.write(b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}).encode() + b"\n\n")

        await asyncio.sleep(FIRST_TEXT_SECONDS)
        event({"role": "assistant", "content": f"took {time.perf_counter() - asked:.6f} "})
        for number in range(WORDS):
            await asyncio.sleep(WORD_SECONDS)
            event({"content": f"word{number} "})
        event({"content": "[1]."}, None)
        event({}, "stop")
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def ask(port, question):
    """Seconds until the sources, seconds added to the provider's first text."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"question": question, "stream": True}).encode()
    head = "POST /v1/answers HTTP/1.1\r\nhost: localhost\r\ntessera-workspace: observatory\r\ntessera-user: ada\r\ncontent-type: application/json\r\n"
    started = time.perf_counter()
    writer.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
    sources, added, text, event = None, None, "", ""
    async for line in reader:
        line = line.decode()
        if line.startswith("HTTP/1.1") and " 200 " not in line:
            raise RuntimeError(line + (await reader.read()).decode())
        if line.startswith("event:"):
            event = line.split(":", 1)[1].strip()
            if event == "sources" and sources is None:
                sources = time.perf_counter() - started
        elif line.startswith("data:") and event == "delta" and added is None:
            text += json.loads(line[5:])["text"]
            if text.count(" ") >= 2 or text.endswith(" "):
                added = time.perf_counter() - started - float(text.split()[1])
    writer.close()
    if event != "done" or added is None:
        raise RuntimeError(f"ended with {event}: {text}")
    return sources, added


async def ask_after(seconds, port, question):
    await asyncio.sleep(seconds)
    return await ask(port, question)


def percentiles(name, values):
    values = sorted(values)
    of = lambda share: 1000 * values[min(len(values) - 1, int(share * len(values)))]
    print(f"{name:24} p50 {of(0.5):7.1f}  p95 {of(0.95):7.1f}  p99 {of(0.99):7.1f}  ({len(values)})", flush=True)


def anonymous_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


async def run(arguments):
    provider = await asyncio.start_server(provide, "127.0.0.1", 0)
    provider_port = provider.sockets[0].getsockname()[1]
    free = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()
    models = pathlib.Path(arguments.models_dir).resolve()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(
            f'data_dir = "{arguments.data_dir}"\n[http]\nlisten = "127.0.0.1:{port}"\n[http.rate]\ncaller_per_second = 0\n'
            f'[models.embed]\nlibrary = "{models}/libonnxruntime.so"\nmodel_dir = "{models}/all-MiniLM-L6-v2"\n'
            f'[query.answer]\nanswers_max = {2 * arguments.streams}\ncaller_answers_max = 0\nworkspace_answers_max = 0\n[query.answer.cache]\nentries_max = 0\n'
            f'[query.answer.resume]\nstreams_max = {2 * arguments.streams}\n'
            f'[[models.generate.endpoints]]\nname = "own"\nbase_url = "http://127.0.0.1:{provider_port}/v1"\nmodel = "m"\nconcurrency = {2 * arguments.streams}\n'
        )
        config.flush()
        server = subprocess.Popen([arguments.tessera, "--config", config.name, "serve", "--dev"], stderr=subprocess.DEVNULL)
        try:
            await measure(arguments, port, server.pid)
        finally:
            server.terminate()
            server.wait()


async def measure(arguments, port, pid):
    questions = [json.loads(line)["text"] for line in QUERIES.read_text().splitlines()]
    for attempt in range(600):
        try:
            await ask(port, questions[0])
            break
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)
    # Their embeddings are remembered from then on.
    await asyncio.gather(*(ask_after(WARM_UP_SECONDS * number, port, question) for number, question in enumerate(questions)))
    await asyncio.sleep(1)
    before = anonymous_kib(pid)
    times, until, chooser = [], time.perf_counter() + arguments.seconds, random.Random(1)

    async def hold_open(number):
        # Spread over the time that one takes.
        await asyncio.sleep(number * (FIRST_TEXT_SECONDS + WORDS * WORD_SECONDS) / arguments.streams)
        while time.perf_counter() < until:
            times.append(await ask(port, chooser.choice(questions)))

    async def weigh():
        await asyncio.sleep(arguments.seconds / 2)
        return anonymous_kib(pid)

    *_, during = await asyncio.gather(*(hold_open(number) for number in range(arguments.streams)), weigh())
    percentiles("until the sources, ms", [sources for sources, _ in times])
    percentiles("added to first text, ms", [added for _, added in times])
    print(f"memory: {before} KiB before, {during} KiB with {arguments.streams} streams: {(during - before) / arguments.streams:.0f} KiB each")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tessera")
    parser.add_argument("data_dir")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--models-dir", default=".cache/models")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
