// The algorithm of docs/audit.md for a topic: go run . BROKERS TOPIC
package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type loss struct{ count, first, last int }
type run struct {
	seen            map[int]bool
	marks           map[[2]int]bool
	highest         map[int]int
	losses          []loss
	twice, disorder int
	lastMs, beatMs  int64
	stopped         bool
	previous        string
}

var streams = map[string]map[string]*run{}
var numbered = regexp.MustCompile(`^(.+)-(\d+)$`)

func add(partition int, ms int64, h map[string]string) {
	found := numbered.FindStringSubmatch(h["exporter_seq"])
	own := numbered.FindStringSubmatch(h["seq"])
	if found == nil || own == nil {
		return
	}
	number, _ := strconv.Atoi(found[2])
	name := h["node"] + " " + found[1]
	if streams[name] == nil {
		streams[name] = map[string]*run{}
	}
	r := streams[name][own[1]]
	if r == nil {
		r = &run{seen: map[int]bool{}, marks: map[[2]int]bool{}, highest: map[int]int{}, beatMs: 60000}
		streams[name][own[1]] = r
	}
	r.lastMs = max(r.lastMs, ms)
	place := [2]int{number, partition}
	copied := h["run_phase"] != "" && !r.marks[place]
	if h["run_phase"] != "" {
		r.marks[place], r.previous = true, h["run_previous"]
		r.beatMs, _ = strconv.ParseInt(h["run_heartbeat_ms"], 10, 64)
		r.stopped = r.stopped || h["run_phase"] == "stop"
	}
	if r.seen[number] && !copied {
		r.twice++
	} else if !r.seen[number] {
		if number < r.highest[partition] {
			r.disorder++
		}
		if h["loss_exporter"] == found[1] {
			l := loss{first: -1, last: -1}
			l.count, _ = strconv.Atoi(h["loss_count"])
			if h["loss_last"] != "" {
				l.first, _ = strconv.Atoi(h["loss_first"])
				l.last, _ = strconv.Atoi(h["loss_last"])
			}
			r.losses = append(r.losses, l)
		}
	}
	r.seen[number] = true
	r.highest[partition] = max(r.highest[partition], number)
}

func sorted[V any](m map[string]V) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func report() (code int) {
	for _, name := range sorted(streams) {
		ids := sorted(streams[name])
		gaps, missing := make([][]int, len(ids)), make([]int, len(ids))
		for i, id := range ids {
			for n, left := 0, len(streams[name][id].seen); left > 0; n++ {
				if streams[name][id].seen[n] {
					left--
				} else {
					gaps[i] = append(gaps[i], n)
				}
			}
			missing[i] = len(gaps[i])
		}
		for _, ranged := range []bool{true, false} {
			for at, id := range ids {
				for _, l := range streams[name][id].losses {
					for j := at; j >= 0 && ranged == (l.last >= 0) && (!ranged || j == at); j-- {
						gaps[j] = slices.DeleteFunc(gaps[j], func(n int) bool {
							tells := l.count > 0 && (!ranged || l.first <= n && n <= l.last)
							if tells {
								l.count--
							}
							return tells
						})
					}
				}
			}
		}
		for i, id := range ids {
			r, end := streams[name][id], "open"
			if r.stopped {
				end = "stopped"
			} else if i == len(ids)-1 && time.Now().UnixMilli() <= r.lastMs+r.beatMs+30000 {
				end = "running"
			}
			note := ""
			if r.previous == "" && i > 0 || r.previous != "" && streams[name][r.previous] == nil {
				note = ", run before it missing"
			}
			if len(gaps[i]) > 0 || end == "open" || note != "" {
				code = 1
			}
			fmt.Printf("%s %s: missing %d, untold %d, twice %d, out of order %d, %s%s\n",
				name, id, missing[i], len(gaps[i]), r.twice, r.disorder, end, note)
		}
	}
	return code
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
	if err != nil || len(streams) == 0 {
		fmt.Fprintln(os.Stderr, "cannot read the topic, or no record has numbers:", err)
		os.Exit(1)
	}
	os.Exit(report())
}
