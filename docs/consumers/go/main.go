// The algorithm of docs/explanation/audit-algorithm.md for a topic: go run . BROKERS TOPIC
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type run struct {
	numbers               map[int]bool
	keys                  map[[2]int]bool
	highest               map[int]int
	told, twice, disorder int
	newestMs, heartbeatMs int64
	stopped               bool
	previous              string
}

var streams = map[string]map[string]*run{}

// name-number
func split(text string) (name string, number int, ok bool) {
	at := max(0, strings.LastIndex(text, "-"))
	number, err := strconv.Atoi(text[min(at+1, len(text)):])
	return text[:at], number, err == nil
}

func add(partition int, ms int64, headers map[string]string) {
	exporter, number, numbered := split(headers["exporter_seq"])
	id, _, known := split(headers["seq"])
	if !numbered || !known {
		return
	}
	stream := headers["node"] + " " + exporter
	if streams[stream] == nil {
		streams[stream] = map[string]*run{}
	}
	r := streams[stream][id]
	if r == nil {
		r = &run{numbers: map[int]bool{}, keys: map[[2]int]bool{}, highest: map[int]int{}, heartbeatMs: 60_000}
		streams[stream][id] = r
	}
	key := [2]int{number, -1}
	if phase := headers["run_phase"]; phase != "" {
		key[1], r.previous, r.stopped = partition, headers["run_previous"], r.stopped || phase == "stop"
		r.heartbeatMs, _ = strconv.ParseInt(headers["run_heartbeat_ms"], 10, 64)
	}
	if r.keys[key] {
		r.twice++
	} else if !r.numbers[number] {
		if number < r.highest[partition] {
			r.disorder++
		}
		if headers["loss_exporter"] == exporter {
			count, _ := strconv.Atoi(headers["loss_count"])
			r.told += count
		}
	}
	r.keys[key], r.numbers[number] = true, true
	r.highest[partition] = max(number, r.highest[partition])
	r.newestMs = max(ms, r.newestMs)
}

// Whether all is there or told.
func report() bool {
	complete := len(streams) > 0
	for _, stream := range slices.Sorted(maps.Keys(streams)) {
		told, lines, runs := 0, []string{}, streams[stream]
		ids := slices.Sorted(maps.Keys(runs))
		// From the last: a loss record may tell of its own run and of earlier ones.
		for i, id := range slices.Backward(ids) {
			r, end, note := runs[id], "open", ""
			missing := slices.Max(slices.Collect(maps.Keys(r.numbers))) + 1 - len(r.numbers)
			untold := max(0, missing-told-r.told)
			told += r.told - missing + untold
			if r.stopped {
				end = "stopped"
			} else if i == len(ids)-1 && time.Now().UnixMilli() <= r.newestMs+r.heartbeatMs+30_000 {
				end = "running"
			}
			if r.previous == "" && i > 0 || r.previous != "" && runs[r.previous] == nil {
				note = ", run before it missing"
			}
			complete = complete && untold == 0 && end != "open" && note == ""
			lines = append(lines, fmt.Sprintf("%s %s: missing %d, untold %d, twice %d, out of order %d, %s%s",
				stream, id, missing, untold, r.twice, r.disorder, end, note))
		}
		slices.Reverse(lines)
		fmt.Println(strings.Join(lines, "\n"))
	}
	return complete
}

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(os.Args[1], ",")...), kgo.ConsumeTopics(os.Args[2]))
	for err == nil {
		// The end: nothing more comes for four seconds.
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		if ctx.Err() == context.DeadlineExceeded && fetches.NumRecords() == 0 {
			break
		}
		err = fetches.Err()
		fetches.EachRecord(func(record *kgo.Record) {
			headers := map[string]string{}
			for _, header := range record.Headers {
				headers[header.Key] = string(header.Value)
			}
			add(int(record.Partition), record.Timestamp.UnixMilli(), headers)
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot read the topic:", err)
	}
	if err != nil || !report() {
		os.Exit(1)
	}
}
