"""Floods the edge with HTTP/2 frames that cost a peer nothing, while a good client goes on calling.

Environment: PORTUNUS_URL (a server's endpoint), PORTUNUS_TOKEN, PORTUNUS_PID, SSL_CERT_FILE. One argument: connections of
each kind at once. Prints one line of JSON per flood and one for the good client; fails when a flood is not ended in time or
memory grows.
"""

import concurrent.futures
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

URL = urlsplit(os.environ["PORTUNUS_URL"])
TOKEN = os.environ["PORTUNUS_TOKEN"]
PID = os.environ["PORTUNUS_PID"]
FRAMES = 200
GROWTH_KIB = 5 * 1024
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def connect(protocol):
    context = ssl.create_default_context()
    context.set_alpn_protocols([protocol])
    plain = socket.create_connection((URL.hostname, URL.port), timeout=20)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=URL.hostname)


def head(method, encoder=None):
    fields = [(":method", method), (":scheme", "https"), (":authority", URL.netloc), (":path", URL.path)]
    return (encoder or Encoder()).encode(fields + [("authorization", f"Bearer {TOKEN}")])


def rapid_reset():
    encoder, stream = Encoder(), 1
    while True:
        yield HeadersFrame(stream, head("POST", encoder), flags=["END_HEADERS"]).serialize()
        yield RstStreamFrame(stream, error_code=8).serialize()
        stream += 2


def continuation():
    yield HeadersFrame(1, head("GET"), flags=[]).serialize()
    encoder = Encoder()
    while True:
        yield ContinuationFrame(1, encoder.encode([(b"x", b"y" * 100)]), flags=[]).serialize()


def empty_data():
    yield HeadersFrame(1, head("POST"), flags=["END_HEADERS"]).serialize()
    while True:
        yield DataFrame(1, b"").serialize()


def bombs():
    """One long field in the dynamic table, then thousands of references to it: 16 KiB that would unfold into 60 MiB."""
    stream = 1
    field = b"\x40\x01x\x7f" + bytes([(4000 - 127) & 0x7F | 0x80, (4000 - 127) >> 7]) + b"y" * 4000
    while True:
        block = (field if stream == 1 else b"") + head("GET") + b"\xbe" * 12_000
        yield HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]).serialize()
        stream += 2


def same(frame):
    def frames():
        while True:
            yield frame.serialize()

    return frames


FLOODS = {
    "rapid reset": rapid_reset,
    "CONTINUATION": continuation,
    "empty DATA": empty_data,
    "SETTINGS": same(SettingsFrame(0)),
    "SETTINGS acknowledgements": same(SettingsFrame(0, flags=["ACK"])),
    "PING": same(PingFrame(0, b"12345678")),
    "WINDOW_UPDATE": same(WindowUpdateFrame(0, window_increment=1)),
    "PRIORITY": same(PriorityFrame(1, depends_on=0, stream_weight=1)),
    "unknown frames": same(ExtensionFrame(type=0xF0, stream_id=0, flag_byte=0, body=b"x")),
    "header bombs": bombs,
}


# Each of these is answered with an error; what counts is what they cost.
ANSWERED = {"header bombs"}


def ended(connection, seconds):
    """Whether the connection ends; returns early when the edge has answered a PING, so that it has read what came before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.settimeout(max(0.001, end - time.monotonic()))
        try:
            received = connection.recv(1 << 16)
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        if not received:
            return True
        if b"marker!!" in received:
            return False
    return False


def flood(name):
    """Frames that were sent until the edge ended the connection."""
    frames, sent = FLOODS[name](), 1
    connection = connect("h2")
    try:
        connection.sendall(PREFACE + SettingsFrame(0).serialize())
        while sent < (FRAMES // 4 if name in ANSWERED else 5 * FRAMES):
            batch = b"".join(next(frames) for _ in range(10))
            sent += 10
            if name != "CONTINUATION":
                batch += PingFrame(0, b"marker!!").serialize()
                sent += 1
            connection.settimeout(20)
            try:
                connection.sendall(batch)
            except OSError:
                return sent
            if ended(connection, 0.2 if name == "CONTINUATION" else 10):
                return sent
        return sent if ended(connection, 5) else None
    finally:
        connection.close()


def resident_kib():
    with open(f"/proc/{PID}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


class GoodClient(threading.Thread):
    """Calls without a pause; times by what was going on."""

    def __init__(self):
        super().__init__(daemon=True)
        self.phase, self.times, self.errors, self.stopping = "quiet", {}, [], False

    def run(self):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": os.environ.get("PORTUNUS_TOOL", "echo"), "arguments": {}}})
        headers = {
            "authorization": f"Bearer {TOKEN}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-11-25",
        }
        connection = http.client.HTTPSConnection(URL.hostname, URL.port, timeout=30)
        while not self.stopping:
            phase, begun = self.phase, time.monotonic()
            connection.request("POST", URL.path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                self.errors.append(answer.status)
            self.times.setdefault(phase, []).append(time.monotonic() - begun)
            time.sleep(0.002)

    def p99_ms(self, phase):
        times = sorted(self.times[phase])
        return round(times[int(len(times) * 0.99)] * 1000, 2)


def round_of(each):
    ends = {}
    for name in FLOODS:
        with concurrent.futures.ThreadPoolExecutor(each) as pool:
            ends[name] = list(pool.map(flood, [name] * each))
    return ends


def main():
    each = int(sys.argv[1])
    good = GoodClient()
    good.start()
    time.sleep(2)
    good.phase = "warming"
    round_of(each)
    before = resident_kib()
    good.phase = "flood"
    ends = round_of(each)
    good.stopping = True
    good.join()
    grown = resident_kib() - before
    failed = []
    for name, sent in ends.items():
        print(json.dumps({"flood": name, "frames": sent}))
        if name not in ANSWERED and any(frames is None or frames > FRAMES for frames in sent):
            failed.append(f"{name}: not ended within {FRAMES} frames")
    quiet, flooded = good.p99_ms("quiet"), good.p99_ms("flood")
    ratio = round(flooded / quiet, 2)
    print(json.dumps({"quiet_p99_ms": quiet, "flood_p99_ms": flooded, "ratio": ratio, "grown_kib": grown}))
    if good.errors:
        failed.append(f"the good client was refused: {good.errors[:5]}")
    if grown > GROWTH_KIB:
        failed.append(f"memory grew by {grown} KiB")
    sys.exit("\n".join(failed) or 0)


if __name__ == "__main__":
    main()
