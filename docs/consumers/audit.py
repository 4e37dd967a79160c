"""The algorithm of docs/explanation/audit-algorithm.md for a topic: pip install confluent-kafka; python audit.py BROKERS TOPIC"""

import sys
import time
from collections import defaultdict

from confluent_kafka import Consumer, TopicPartition


class Run:
    def __init__(self):
        self.numbers, self.keys, self.highest = set(), set(), defaultdict(int)
        self.told = self.twice = self.disorder = self.newest_ms = 0
        self.stopped, self.previous, self.heartbeat_ms = False, "", 60_000


def add(streams, partition, time_ms, headers):
    exporter, _, number = headers.get("exporter_seq", "").rpartition("-")
    if not exporter:
        return
    number, run = int(number), streams[headers["node"], exporter][headers["seq"].rpartition("-")[0]]
    key = (number, partition) if "run_phase" in headers else number
    if key in run.keys:
        run.twice += 1
    elif number not in run.numbers:
        run.disorder += number < run.highest[partition]
        run.told += int(headers["loss_count"]) if headers.get("loss_exporter") == exporter else 0
    run.keys.add(key)
    run.numbers.add(number)
    run.highest[partition] = max(number, run.highest[partition])
    run.newest_ms = max(time_ms, run.newest_ms)
    if "run_phase" in headers:
        run.stopped |= headers["run_phase"] == "stop"
        run.previous, run.heartbeat_ms = headers["run_previous"], int(headers["run_heartbeat_ms"])


def report(streams):
    """Whether all is there or told."""
    complete = bool(streams)
    for (node, exporter), runs in sorted(streams.items()):
        told, lines = 0, []
        for i, run in sorted(runs.items(), reverse=True):  # a loss record may tell of its own run and of earlier ones
            told, missing = told + run.told, max(run.numbers) + 1 - len(run.numbers)
            untold = max(0, missing - told)
            told -= missing - untold
            running = i == max(runs) and time.time() * 1000 <= run.newest_ms + run.heartbeat_ms + 30_000
            end = "stopped" if run.stopped else "running" if running else "open"
            lost = run.previous not in runs if run.previous else i != min(runs)
            complete &= untold == 0 and end != "open" and not lost
            counts = f"missing {missing}, untold {untold}, twice {run.twice}, out of order {run.disorder}"
            lines.append(f"{node} {exporter} {i}: {counts}, {end}{', run before it missing' if lost else ''}")
        print("\n".join(reversed(lines)))
    return complete


brokers, topic = sys.argv[1:3]
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "audit", "enable.auto.commit": False})
partitions = [TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, 10).topics[topic].partitions]
ends = {p.partition: consumer.get_watermark_offsets(p, 10) for p in partitions}
left = {p: high for p, (low, high) in ends.items() if high > low}
consumer.assign([TopicPartition(topic, p, ends[p][0]) for p in left])
streams = defaultdict(lambda: defaultdict(Run))
while left:
    message = consumer.poll(30)
    if message is None or message.error():
        sys.exit(f"cannot read {topic}: {message and message.error()}")
    texts = {name: value.decode() for name, value in message.headers() or []}
    add(streams, message.partition(), message.timestamp()[1], texts)
    if message.offset() + 1 >= left.get(message.partition(), 0):
        left.pop(message.partition(), None)
sys.exit(not report(streams))
