# ktrail: targets for people. Each target installs its requirements and is quick when nothing changed.
KERNEL ?= 6.12
export KERNEL
KERNELS ?= 6.1 6.12 7.3
SETUP := deploy/setup
RUNS ?= 1000000
INPUTS ?= 10000000
SEED ?= 1
MINUTES ?= 30
SETS ?= 2000
FROM ?= 0
CALLS ?= 10000000
STARTS ?= 1000
CHANGES ?= 1000

.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## make ./ktrail work: packages, Node, BPF objects, addon, bundle
	@$(SETUP)/build.sh

run: ## see it work: on this kernel if it can, else in a guest
	@$(SETUP)/run.sh

picture: build ## draw the pictures in README and docs: a run of the demo, a trace, the first minutes, the status page
	@mkdir -p build/demo
	@KTRAIL_DEMO_COLOR=always KTRAIL_DEMO_PAUSE=5 NODE_NAME=web-1 $(SETUP)/run.sh >build/demo/output
	@$(SETUP)/with-node.sh node deploy/demo/picture.ts demo build/demo/output docs/pictures/terminal.svg
	@test/support/guest/run.sh $(KERNEL) --cpus 2 -- deploy/demo/trace.sh >build/demo/trace
	@$(SETUP)/with-node.sh node deploy/demo/picture.ts trace build/demo/trace docs/pictures/trace.svg
	@$(MAKE) --no-print-directory minutes
	@$(SETUP)/packages.sh test
	@$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning test/support/page/picture.ts

minutes: build ## record a new user's first commands; fails if one does not print what it should: docs/pictures/first-minutes.cast and .svg
	@test/support/guest/run.sh $(KERNEL) --cpus 2 --timeout 2400 -- unshare -m node test/support/docs/minutes.ts docs/pictures/first-minutes.cast
	@$(SETUP)/with-node.sh node test/support/docs/session.ts docs/pictures/first-minutes.cast docs/pictures/first-minutes.svg

test: build ## checks, unit tests, and the rest on a real kernel (KERNEL=5.10|6.1|6.12|7.3)
	@test/run.sh

long: build ## make test with all real sinks, and the counts that found each defect (two hours)
	@KTRAIL_LONG=1 test/run.sh

full: build ## under full preemption: 600,000 hits, where make test takes 5,000, and each flood alone
	@ONLY=full KTRAIL_LONG=1 KTRAIL_FULL_HITS=600000 test/run.sh

arm64: build ## build for arm64, and test on its kernel in an emulated guest (ten minutes)
	@$(SETUP)/cross.sh arm64
	@ARCH=arm64 test/run.sh

faults: build ## real sinks, the long way: 200 kills, brokers moved under load (30 min)
	@ONLY=host KTRAIL_LONG=1 test/run.sh

cpus: build ## a burst from all CPUs of guests with 8 and 64, whose CPUs take turns on one of this machine: CPUS="8 64"
	@for cpus in $(or $(CPUS),8 64); do test/support/guest/run.sh $(KERNEL) --cpus $$cpus --timeout 3600 --verbose -- \
		node --disable-warning=ExperimentalWarning --test --test-reporter=spec test/e2e-cpus/cpus.test.ts || exit 1; done

NIGHTLY ?= long full cpus parts simulate fuzz random-policies policy-changes start-stop coverage bypass-matrix verifier library loki random-tree churn soak minutes arm64 reproducible
nightly: build ## all tests that take long, one after the other, also behind one that fails (half a day)
	@failed=; for target in $(NIGHTLY); do $(MAKE) --no-print-directory $$target || failed="$$failed $$target"; done; \
		[ -z "$$failed" ] || { echo "nightly: failed:$$failed; run each alone" >&2; exit 1; }

check: build ## format, lint, types, unit tests
	@$(SETUP)/with-node.sh npm run --silent check

soak: build ## half an hour at 5,000 events/s with one sink down half of the time: MINUTES=30
	@$(SETUP)/with-node.sh node test/soak/soak.ts --minutes $(MINUTES)

bench: build ## measure; write test/bench/results.json and the figures of the pages
	@test/bench/run.sh

bench-history: build ## draw the rows of instruction counts over the commits that changed them: docs/pictures/instructions.svg
	@$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning test/bench/guard/history.ts

compare: build ## the kernel's part of make bench, of this tree and of another commit in turn in one boot: BASE=main ROUNDS=3
	@$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning test/bench/compare.ts

compare-tetragon: build ## ktrail and a build of Tetragon in one boot, by instructions: DIR=folder with tetragon and bpf/*.o
	@ONLY=tetragon TETRAGON="$(abspath $(DIR))" test/bench/run.sh

workflows: ## actionlint about the workflows of the forge (needs Go)
	@test/support/workflows/lint.sh

parts: build ## parts of the packages that have a vulnerability or a newer release: Node, npm packages, libraries of Debian
	@$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning test/support/parts/outdated.ts

simulate: build ## a million lives of spool, sending chain, chain that packs, chain that is reloaded: RUNS=1000000 SEED=1
	@$(SETUP)/with-node.sh node test/simulation/run.ts spool --runs $(RUNS) --seed $(SEED)
	@$(SETUP)/with-node.sh node test/simulation/run.ts chain --runs $(RUNS) --seed $(SEED)
	@$(SETUP)/with-node.sh node test/simulation/run.ts packed --runs $(RUNS) --seed $(SEED)
	@$(SETUP)/with-node.sh node test/simulation/run.ts reloaded --runs $(RUNS) --seed $(SEED)

fuzz: build ## hostile bytes at nine entry points, a tenth guided by coverage, then generated records and policies: MINUTES=30 (or EACH=10000000 inputs) INPUTS=10000000 SEED=1
	@$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning test/fuzz/run.ts $(if $(EACH),--inputs $(EACH),--minutes $(MINUTES)) --seed $(SEED)
	@$(SETUP)/with-node.sh node test/simulation/run.ts records --runs $(INPUTS) --seed $(SEED)
	@$(SETUP)/with-node.sh node test/simulation/run.ts policies --runs $$(( ($(INPUTS) + 99) / 100 )) --seed $(SEED)

record: build ## record what a kernel writes for a short workload, into test/golden/recorded/: for each kernel, when wire.ts has changed
	@test/support/guest/run.sh $(KERNEL) --cpus 2 --timeout 600 --verbose -- \
		node --disable-warning=ExperimentalWarning test/support/recording/scripted.ts $(KERNEL)
	@UPDATE_GOLDEN=1 $(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning --test --test-reporter=dot \
		--test-name-pattern='recorded: $(KERNEL):' test/unit/recording/recorded.test.ts
	@git diff --stat -- test/golden/recorded

random-policies: build ## random policies against a plain evaluator, verdicts in a moving tree: SETS=2000 SEED=1 CALLS=10000000
	@test/support/guest/run.sh $(KERNEL) --cpus 2 --timeout 36000 --verbose -- \
		env KTRAIL_SETS=$(SETS) KTRAIL_SEED=$(SEED) KTRAIL_FROM=$(FROM) KTRAIL_CALLS=$(CALLS) prlimit --nofile=65536 \
		node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=spec \
		test/e2e/engine/random-policies.test.ts test/e2e/engine/races.test.ts

start-stop: build ## attach and detach again and again under load: STARTS=1000
	@test/support/guest/run.sh $(KERNEL) --cpus 2 --timeout 36000 --verbose -- env KTRAIL_STARTS=$(STARTS) \
		node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=spec test/e2e/guard/start-stop.test.ts

policy-changes: build ## change policies under load, in each way of attaching, and compare all counts: CHANGES=1000
	@test/support/guest/run.sh $(KERNEL) --cpus 2 --timeout 36000 --verbose -- env KTRAIL_CHANGES=$(CHANGES) \
		node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=spec test/e2e/engine/changes.test.ts

coverage: build ## every way to reach a file, on each kernel and file system; writes docs/reference/coverage.md: KERNELS="6.12"
	@rm -rf build/coverage && mkdir -p build/coverage
	@failed=0; for kernel in $(KERNELS); do test/support/guest/run.sh $$kernel --cpus 2 --timeout 2400 --verbose -- \
		env KTRAIL_COVERAGE=build/coverage KTRAIL_COVERAGE_ON="tmpfs ext4 xfs btrfs overlay" \
		node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=dot \
		test/e2e/files/coverage.test.ts || failed=1; done; \
		$(SETUP)/with-node.sh node test/e2e/files/write-coverage.ts build/coverage && exit $$failed
	@cat docs/reference/coverage.md

bypass-matrix: build ## who sees what: each way to reach a file against ktrail and other tools; writes docs/explanation/who-sees-what.md: DIR=builds
	@BROUGHT="$(abspath $(DIR))" test/bypass/matrix.sh

verifier: build ## the verifier's work on each BPF program; fails if it grew by 5 % (docs/reference/verifier.md): KERNELS="6.12"
	@test/verifier/run.sh $(KERNELS)
	@$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning test/verifier/guard.ts $(KERNELS)

library: build ## each attack on the policies of the library, also on 5.10, and an ordinary hour; writes docs/reference/library.md
	@mkdir -p build/library
	@for kernel in $(KERNEL) 5.10; do test/support/guest/run.sh $$kernel --cpus 2 --timeout 1800 --verbose -- env KTRAIL_LIBRARY=all \
		node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=spec test/library/attacks.test.ts || exit 1; done
	@$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning test/library/hour.ts $(KERNEL)
	@$(SETUP)/with-node.sh node test/library/write-library.ts $(KERNEL) 5.10

loki: build ## each query and alert on a real Loki, built from its Go module in minutes; writes docs/reference/exporters/loki-queries.md: LOKI="3.5.0 3.7.6"
	@rm -rf build/loki
	@for version in $(or $(LOKI),3.5.0 3.7.6); do test/loki/build.sh $$version >/dev/null && KTRAIL_LOKI=$$version KTRAIL_LONG=1 \
		$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=spec \
		test/integration-host/loki-container.test.ts test/integration-host/collector-container.test.ts test/loki/loki.test.ts || exit 1; done
	@$(SETUP)/with-node.sh node test/loki/write-loki.ts

random-tree: build ## 100,000 random steps in a tree on each file system, beside renames; a model predicts each event: STEPS=n SEED=n ON=ext4
	@failed=0; for on in $(or $(ON),tmpfs ext4 xfs btrfs overlay); do echo "$$on"; \
		test/support/guest/run.sh $(KERNEL) --cpus 2 --memory 8192 --timeout 3600 --verbose -- \
		env KTRAIL_STEPS=$(or $(STEPS),100000) KTRAIL_SEED=$(SEED) KTRAIL_COVERAGE_ON=$$on node --disable-warning=ExperimentalWarning \
		--test --test-concurrency=1 --test-reporter=dot test/e2e/files/tree.test.ts || failed=1; done; exit $$failed

kubernetes: package ## fetch and build a real Kubernetes API server (a quarter of an hour, once), and test with it
	@test/support/kubernetes/build.sh >/dev/null
	@deploy/docker/layer.sh build/kubernetes/image
	@ONLY=host FILES='*integration-host/kubernetes*' test/run.sh
	@$(SETUP)/with-node.sh node --disable-warning=ExperimentalWarning test/support/kubernetes/beside-guest.ts $(KERNEL) \
		--cpus 2 --timeout 2400 --verbose -- env KTRAIL_IMAGE_BASE="$$(test/support/guest/root.sh bookworm)" \
		node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=spec test/e2e-kubernetes/*.test.ts

churn: build ## 200 pods of 5 containers come and go under load in a guest (PODS=200 CONTAINERS=5)
	@test/support/guest/run.sh $(KERNEL) --cpus 2 --timeout 2400 --verbose -- env KTRAIL_CHURN_PODS=$(or $(PODS),200) \
		KTRAIL_CHURN_CONTAINERS=$(or $(CONTAINERS),5) node --disable-warning=ExperimentalWarning --test --test-reporter=spec \
		--test-name-pattern='come and go under load' test/e2e/identity/workloads.test.ts

package: build ## npm, Debian and RPM packages, Helm chart, Kubernetes manifest in build/packages/ (ARCH=arm64: packages for arm64 too)
	@[ -z "$(ARCH)" ] || $(SETUP)/cross.sh "$(ARCH)"
	@deploy/package/npm.sh $(ARCH)
	@deploy/package/deb.sh
	@[ -z "$(ARCH)" ] || deploy/package/deb.sh "$(ARCH)"
	@for deb in build/packages/*.deb; do deploy/package/rpm.sh "$$deb" build/packages || exit 1; done
	@deploy/package/chart.sh
	@deploy/package/manifest.sh

image: package ## container image ktrail:VERSION, by docker: BASE=debian:bookworm-slim, DOCKER=podman
	@deploy/docker/image.sh

release: ## all files of a release from the tag vVERSION, signed, in build/release/VERSION: VERSION=0.1.0 KEY=file APT_KEY=file
	@KEY="$(KEY)" APT_KEY="$(APT_KEY)" deploy/release/release.sh "$(VERSION)"

apt-repo: ## add the Debian packages of a release to a signed apt repository: VERSION=0.1.0 DIR=folder APT_KEY=file
	@APT_KEY="$(APT_KEY)" deploy/release/apt-repo.sh "build/release/$(VERSION)" "$(DIR)"

reproducible: build ## build the commit as for a release twice, as two users in two environments, and compare the bytes (as root)
	@deploy/release/reproducible.sh

clean: ## remove what was built; fetched kernels and Node stay in the cache
	rm -rf bpf/build native/build build node_modules

.PHONY: help build run picture minutes test long full arm64 faults cpus nightly check soak bench bench-history compare compare-tetragon workflows parts simulate fuzz record random-policies start-stop policy-changes coverage bypass-matrix verifier library loki random-tree kubernetes churn package image release apt-repo reproducible clean
