#!/usr/bin/env python3
"""How soon an answer shows its sources, beside a search for the same: asks a server that serves the sample workspace.

    scripts/sources-latency.py [--address 127.0.0.1:8080] [--repeat 5]

Asks each query of the sample as a search and as a streamed answer, one after the other, on a connection each, from one caller. The first
round is not counted: it has the queries embedded. Prints milliseconds and the ratio of the p99.
"""

import argparse
import http.client
import json
import pathlib
import time

QUERIES = pathlib.Path(__file__).resolve().parent.parent / "samples" / "northwind-observatory.queries.jsonl"
HEADERS = {"Tessera-Workspace": "observatory", "Tessera-User": "ada", "Content-Type": "application/json"}


def post(address, path, body):
    connection = http.client.HTTPConnection(address, timeout=60)
    started = time.perf_counter()
    connection.request("POST", path, json.dumps(body), HEADERS)
    response = connection.getresponse()
    assert response.status == 200, (response.status, response.read())
    return connection, response, started


def search(address, query):
    connection, response, started = post(address, "/v1/search", {"query": query, "limit": 20})
    response.read()
    took = time.perf_counter() - started
    connection.close()
    return took


def answer(address, question):
    """Seconds until the sources, and until the end."""
    connection, response, started = post(address, "/v1/answers", {"question": question, "stream": True})
    sources, event = None, None
    while line := response.readline():
        if line.startswith(b"event:"):
            event = line.split(b":", 1)[1].strip()
        elif line == b"\n" and event == b"sources" and sources is None:
            sources = time.perf_counter() - started
    assert event == b"done" and sources is not None, event
    done = time.perf_counter() - started
    connection.close()
    return sources, done


def percentile(values, share):
    values = sorted(values)
    return 1000 * values[min(len(values) - 1, int(share * len(values)))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1:8080")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    queries = [json.loads(line)["text"] for line in QUERIES.read_text().splitlines()]
    times = {"search": [], "sources": [], "done": []}
    for round_number in range(arguments.repeat + 1):
        for query in queries:
            searched = search(arguments.address, query)
            sources, done = answer(arguments.address, query)
            if round_number > 0:
                times["search"].append(searched)
                times["sources"].append(sources)
                times["done"].append(done)
    for name, values in times.items():
        print(f"{name:8} p50 {percentile(values, 0.5):7.1f}  p95 {percentile(values, 0.95):7.1f}  p99 {percentile(values, 0.99):7.1f}")
    ratio = [percentile(times["sources"], share) / percentile(times["search"], share) for share in (0.5, 0.95, 0.99)]
    print("sources / search: p50 {:.2f}  p95 {:.2f}  p99 {:.2f}".format(*ratio))


if __name__ == "__main__":
    main()
