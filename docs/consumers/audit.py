"""The algorithm of docs/audit.md for a topic: pip install confluent-kafka; python audit.py BROKERS TOPIC"""

import sys
import time
from collections import defaultdict

from confluent_kafka import Consumer, TopicPartition


class Run:
    def __init__(self):
        self.seen, self.marks, self.highest, self.losses = set(), set(), defaultdict(lambda: -1), []
        self.twice = self.disorder = self.last_ms = 0
        self.stopped, self.previous, self.heartbeat_ms = False, "", 60_000


def add(streams, partition, time_ms, headers):
    exporter, _, number = headers.get("exporter_seq", "").rpartition("-")
    if not exporter:
        return
    run_id, number = headers["seq"].rpartition("-")[0], int(number)
    run = streams[headers["node"], exporter][run_id]
    run.last_ms = max(run.last_ms, time_ms)
    copy = "run_phase" in headers and (number, partition) not in run.marks
    if "run_phase" in headers:
        run.marks.add((number, partition))
        run.previous, run.heartbeat_ms = headers["run_previous"], int(headers["run_heartbeat_ms"])
        run.stopped |= headers["run_phase"] == "stop"
    if number in run.seen:
        run.twice += not copy
    else:
        run.disorder += number < run.highest[partition]
        if headers.get("loss_exporter") == exporter:
            bounds = int(headers.get("loss_first", -1)), int(headers.get("loss_last", -1))
            run.losses.append((int(headers["loss_count"]), *bounds))
    run.seen.add(number)
    run.highest[partition] = max(run.highest[partition], number)


def report(streams):
    complete = bool(streams)
    for (node, exporter), runs in sorted(streams.items()):
        ids = sorted(runs)
        gaps = {i: sorted(set(range(max(runs[i].seen))) - runs[i].seen) for i in ids}
        missing = {i: len(gaps[i]) for i in ids}
        for ranged in (True, False):
            for at, i in enumerate(ids):
                for count, first, last in runs[i].losses:
                    for j in ids[at : at + 1] if ranged else ids[at::-1]:
                        if ranged == (last >= 0):
                            told = [n for n in gaps[j] if not ranged or first <= n <= last][:count]
                            gaps[j], count = [n for n in gaps[j] if n not in told], count - len(told)
        for i in ids:
            run, due = runs[i], runs[i].last_ms + runs[i].heartbeat_ms + 30_000
            end = "stopped" if run.stopped else "running" if i == ids[-1] and time.time() * 1000 <= due else "open"
            lost = run.previous != "" and run.previous not in runs or run.previous == "" and i != ids[0]
            complete &= not gaps[i] and end != "open" and not lost
            counts = f"missing {missing[i]}, untold {len(gaps[i])}, twice {run.twice}, out of order {run.disorder}"
            print(f"{node} {exporter} {i}: {counts}, {end}{', run before it missing' if lost else ''}")
    return 0 if complete else 1


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
sys.exit(report(streams))
