#!/usr/bin/env python3
"""Takes spans as a collector of OpenTelemetry does (OTLP/HTTP with JSON), and prints each on a line of its own.

usage: collector.py [good|busy|hung]    busy: answers the first request with 503 and Retry-After: 1; hung: never answers

The first line has the port. Then come {"request": N, "at": SECONDS} for each request, and {"span": ...} for each span of those
that were taken. Whatever is not as the protocol has it is told as {"fault": ...}.
"""
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE = sys.argv[1] if len(sys.argv) > 1 else "good"
LOCK = threading.Lock()
REQUESTS = []


def tell(document):
    with LOCK:
        print(json.dumps(document), flush=True)


def faults(span):
    if not re.fullmatch("[0-9a-f]{32}", span["traceId"]) or not re.fullmatch("[0-9a-f]{16}", span["spanId"]):
        yield "ids are hexadecimal digits"
    if not all(isinstance(span[name], str) for name in ("startTimeUnixNano", "endTimeUnixNano")):
        yield "numbers of 64 bits are text"
    if int(span["endTimeUnixNano"]) < int(span["startTimeUnixNano"]) or abs(int(span["startTimeUnixNano"]) / 1e9 - time.time()) > 600:
        yield "the times are not those of now"
    if not isinstance(span["kind"], int):
        yield "enumerations are numbers"


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with LOCK:
            REQUESTS.append(time.monotonic())
        tell({"request": len(REQUESTS), "at": REQUESTS[-1], "key": self.headers.get("X-Key")})
        if MODE == "hung":
            return time.sleep(60)
        if MODE == "busy" and len(REQUESTS) == 1:
            self.send_response(503)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/json":
            tell({"fault": f"{self.path} {self.headers['Content-Type']}"})
        for part in json.loads(body)["resourceSpans"]:
            resource = {pair["key"]: pair["value"].get("stringValue") for pair in part["resource"]["attributes"]}
            for span in part["scopeSpans"][0]["spans"]:
                for fault in faults(span):
                    tell({"fault": fault, "span": span})
                values = {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}
                tell({"span": {**span, "attributes": values}, "resource": resource})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
server.daemon_threads = True
tell({"port": server.server_address[1]})
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
