# Everything that is done with this repository. CI runs these targets and nothing else.

SHELL := /bin/bash
# Where rustup puts cargo: a fresh installation is not yet in everyone's PATH.
export PATH := $(HOME)/.cargo/bin:$(PATH)
.DEFAULT_GOAL := help

.PHONY: help setup build pgo run setup-tests test check fmt fuzz setup-bench bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the build needs: Rust, cmake, a C compiler
	@scripts/need.sh cargo=rustup cmake=cmake cc=build-essential

build: setup ## Build the release binary, target/release/tollgate
	@scripts/build.sh

pgo: setup ## Renew profile/, by which the binary is laid out: builds it twice, runs it under load
	@scripts/need.sh python3=python3 openssl=openssl taskset=util-linux
	@scripts/pgo.sh

run: build ## Start the demo: a simulated model server and the gateway; Ctrl-C stops both
	@scripts/run.sh

setup-tests: setup ## Install what the tests need: promtool, Python and Node with the SDKs
	@scripts/setup-tests.sh

test: setup-tests ## Run all tests
	cargo test --workspace --locked --no-fail-fast

check: setup-tests ## Everything CI asks for: format, lints, tests, house rules, conf/
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked --no-fail-fast
	@scripts/check-conf.sh $${CARGO_TARGET_DIR:-target}/debug/tollgate

fmt: ## Format the code
	cargo fmt --all

fuzz: setup ## Fuzz every reader, by coverage, 60 s each; TARGET=stream_chat SECONDS=600 for one
	@FUZZ_SECONDS=$(or $(SECONDS),60) FUZZ_TARGET=$(TARGET) scripts/fuzz.sh

setup-bench: setup ## Install the proxies to compare with; Debian starts them as services, too
	@scripts/need.sh nginx=nginx haproxy=haproxy

bench: setup ## Measure the gateway beside its peers, in one run; QUICK=1 for a first look
	@scripts/need.sh python3=python3 openssl=openssl taskset=util-linux
	@scripts/build.sh
	cargo build --release --locked --target-dir target/plain
	cargo build --release --locked --target-dir target/plain --example stock_pingora
	benches/compare.py \
		$(if $(QUICK),--quick --results target/RESULTS-quick.md,--results benches/RESULTS.md)

clean: ## Remove everything that was built or installed here
	cargo clean
	rm -rf tests/sdk/node_modules
