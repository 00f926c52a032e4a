# Linecrypt: `make demo` shows it, `make test` tests it; each is the only command that a fresh Debian 12 machine with Go needs.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# Every target sets the tag dpdk where DPDK is to be had; the script says where it is not. It is asked when a recipe runs,
# after the packages were installed.
TAGS = $$(bench/scripts/tags)

PROGRAMS := linecrypt linecrypt-dataplane linecrypt-ctrlplane

# What the compiler knows of the packet path's ways; go build finds it by itself for the data plane.
PROFILE := cmd/linecrypt-dataplane/default.pgo

KERNEL := linecrypt/bench/kernel
TEST_FLAGS ?=

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install the Debian packages that are missing (as root)
	@bench/scripts/deps all

.PHONY: build
build: ## build the programs, and the library for LD_PRELOAD, into bin/
	@bench/scripts/deps build
	@mkdir -p bin
	@set -e; tags=$(TAGS); for p in $(PROGRAMS); do go build $$tags -o bin/$$p ./cmd/$$p; done
	@bench/scripts/preload bin
	@echo "built: $(PROGRAMS:%=bin/%)"

.PHONY: demo
demo: deps build ## two gateways between a client and a server, with real traffic (KEEP=1 keeps them, PORTS=packet, WORKERS=2 choose; HOST=1: the two protect themselves)
	@set -e; go build $(TAGS) -o bin/demo ./bench/demo; exec bin/demo $(if $(HOST),--host) $(if $(KEEP),--keep) $(if $(PORTS),--ports $(PORTS)) $(if $(WORKERS),--workers $(WORKERS))

.PHONY: test
test: build ## all tests: plain Go, DPDK ports, real kernel TCP in namespaces
	@bench/scripts/deps test
	@bench/scripts/test $(TEST_FLAGS)

.PHONY: test-kernel
test-kernel: deps build ## only the tests with real kernel TCP (TEST_FLAGS='-v -run X' as go test takes them)
	go test $(TAGS) -count=1 -timeout 30m $(TEST_FLAGS) $(KERNEL)

.PHONY: deb
deb: ## build the Debian packages linecrypt and, where DPDK is to be had, linecrypt-dpdk into bin/deb (VERSION=X)
	@bench/scripts/deps deb
	@cmd/linecrypt/debian/build bin/deb

# The system that packages are tested on takes a minute to make, and is kept.
DEB_TEST := $(CURDIR)/bin/deb-test

.PHONY: test-deb
test-deb: ## install, start, break, upgrade and purge the package in a container with systemd, with traffic (two minutes, as root)
	@bench/scripts/deps test-deb
	@cmd/linecrypt/debian/root $(DEB_TEST)/root
	@rm -rf $(DEB_TEST)/old $(DEB_TEST)/new
	@VERSION=0.1 cmd/linecrypt/debian/build $(DEB_TEST)/old linecrypt
	@VERSION=0.2 cmd/linecrypt/debian/build $(DEB_TEST)/new
	@lintian --fail-on error,warning --tag-display-limit 0 $(DEB_TEST)/new/*.deb
	LINECRYPT_TEST_DEB=$(DEB_TEST) go test -count=1 -timeout 30m $(TEST_FLAGS) ./bench/debian

.PHONY: fuzz-seeds
fuzz-seeds: ## run the seed corpus of every fuzz target
	CGO_ENABLED=0 go test -run '^Fuzz' ./...

.PHONY: soak
soak: ## floods, and far ends that stall and vanish, beside honest connections (five minutes, as root; SOAK_FLAGS='-only NAME')
	@bench/scripts/deps soak
	@$(MAKE) -s build
	@go build $(TAGS) -o bin/soak ./bench/soak
	bin/soak $(SOAK_FLAGS)

.PHONY: bench-packet
bench-packet: ## what a packet costs, reception included, with up to a million flows (six minutes; PACKET_FLAGS='-flows 1 -size 64' chooses)
	CGO_ENABLED=0 go run -pgo=$(PROFILE) ./bench/packetpath/report $(PACKET_FLAGS)

.PHONY: profile
profile: ## take anew the profile that programs are built with, from the packet bench (two minutes); commit it with what it is of
	CGO_ENABLED=0 go run -pgo=off ./bench/packetpath/report -flows 1,1000 -runs 5 -packets 500000 -case seal,open,both -cpuprofile $(PROFILE)

.PHONY: bench-scaling
bench-scaling: ## what a second core brings, with queues of its own and with a spreader (two minutes; SCALING_FLAGS='-cores 2,3' chooses)
	CGO_ENABLED=0 go run -pgo=$(PROFILE) ./bench/packetpath/scaling $(SCALING_FLAGS)

# 500,000 packets, five times.
BENCH_FLAGS ?= -benchtime 500000x -count 5

.PHONY: bench-packet-old
bench-packet-old: ## the packet path as it was measured before bench-packet: for figures of earlier versions (two minutes)
	CGO_ENABLED=0 go test -run '^$$' -bench . -benchmem $(BENCH_FLAGS) ./dataplane/worker

.PHONY: bench-peers
bench-peers: ## the packet path against dpdk-testpmd, and ipsec-secgw where IPSEC_SECGW=BINARY names one (ten minutes, PEERS_FLAGS='-runs 1')
	@bench/scripts/deps bench
	CGO_ENABLED=0 go run -pgo=$(PROFILE) ./bench/peers $(PEERS_FLAGS)

.PHONY: bench-wireguard
bench-wireguard: ## one TCP stream through two gateways against two wireguard-go, offloads on, in turns (two minutes, as root; WIREGUARD_FLAGS='--runs 1')
	@bench/scripts/deps all
	@$(MAKE) -s build
	@go build -o bin/throughput ./bench/throughput
	@CGO_ENABLED=0 go build -o bin/wireguard-go golang.zx2c4.com/wireguard
	bin/throughput --against wireguard-go --runs 5 $(WIREGUARD_FLAGS)

.PHONY: bench-host
bench-host: ## one TCP stream between two hosts that protect themselves against two gateways, offloads on, in turns (two minutes, as root; HOST_FLAGS='--runs 1')
	@bench/scripts/deps all
	@$(MAKE) -s build
	@go build -o bin/throughput ./bench/throughput
	bin/throughput --against gateways --runs 5 $(HOST_FLAGS)

.PHONY: bench-watching
bench-watching: ## what linecrypt top, the page, and a trace that is off cost, in turns (at most six minutes; WATCHING_FLAGS='-only trace')
	@$(MAKE) -s build
	@CGO_ENABLED=0 go build -pgo=$(PROFILE) -o bin/watching ./bench/watching
	bin/watching $(WATCHING_FLAGS)

CRYPTO_RESULT ?= bench/crypto/results/zen5.json
CRYPTO_REPORT = CGO_ENABLED=0 go run ./bench/crypto/report -file $(CRYPTO_RESULT) -document cmd/linecrypt/docs/performance.md

.PHONY: bench-crypto
bench-crypto: ## AEAD engines against DPDK's drivers and OpenSSL: result file and the table of them (eight minutes)
	@bench/scripts/deps bench
	@$(CRYPTO_REPORT) -measure -command "make bench-crypto"

.PHONY: bench-crypto-table
bench-crypto-table: ## the table of AEAD engines from the result file (CRYPTO_RESULT=FILE chooses another)
	@$(CRYPTO_REPORT)

.PHONY: generate-check
generate-check: ## fail where generated assembly is not what its generator writes
	@bench/scripts/generate-check

.PHONY: vet
vet: ## go vet, with and without DPDK
	CGO_ENABLED=0 go vet ./...
	@set -e; tags=$(TAGS); if [ -n "$$tags" ]; then echo "go vet $$tags ./..."; go vet $$tags ./...; fi

.PHONY: lint
lint: ## staticcheck, with and without DPDK
	CGO_ENABLED=0 go tool staticcheck ./...
	@set -e; tags=$(TAGS); if [ -n "$$tags" ]; then echo "go tool staticcheck $$tags ./..."; go tool staticcheck $$tags ./...; fi

.PHONY: fmt-check
fmt-check: ## fail where gofmt would change a file
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted (run gofmt -w):"; echo "$$files"; exit 1; fi

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
