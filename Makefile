# Begin with `make demo` and `make test`. `make help` lists all commands.

# Servers and tools are shared by all clones on this machine. The same rule stands in tests/farm/build.sh and in the tests.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/probity
CARGO_DENY := 0.20.2
DENY := $(CACHE)/tools/cargo-deny-$(CARGO_DENY)
CARGO_MACHETE := 0.9.2
MACHETE := $(CACHE)/tools/cargo-machete-$(CARGO_MACHETE)
export PATH := $(DENY)/bin:$(MACHETE)/bin:$(PATH):/usr/sbin:/usr/lib/postgresql/15/bin
# Tests mostly wait for servers. Six at a time use both of two processors and 4 GB of memory.
export RUST_TEST_THREADS ?= $(shell expr 3 '*' "$$(nproc)")

.PHONY: help demo demo-all servers test lint rules unit fuzz variants static builds build bench test-tools clean

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## Start real servers on loopback with Probity beside them; Ctrl-C stops everything
	@tests/setup.sh demo
	@cargo build --quiet --bin probity --example demo
	@setpriv --pdeathsig TERM cargo run --quiet --example demo

demo-all: ## The same with all servers, including those that `make servers` builds
	@tests/setup.sh demo
	@cargo build --quiet --bin probity --example demo
	@setpriv --pdeathsig TERM cargo run --quiet --example demo all

servers: ## Fetch or build the servers that Debian does not have, once for this machine
	@tests/setup.sh servers
	@tests/farm/build.sh

test: ## Install what is missing, start what is needed, check everything
	@tests/setup.sh test
	@tests/farm/build.sh
	$(MAKE) --no-print-directory lint rules
	@cargo run --quiet --locked --package test-runner -- run

lint: $(DENY)/bin/cargo-deny ## Check format, flaky tests, clippy, licences and sources, documentation
	cargo fmt --all --check
	@cargo run --quiet --locked --package test-runner -- flaky
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --locked check --hide-inclusion-graph bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

rules: ## Check the alert rules with Prometheus' own tools
	promtool check rules deploy/prometheus/alerts.yaml
	promtool test rules deploy/prometheus/alerts_test.yaml

unit: ## Run the four rings of tests, each test once
	cargo test --workspace --locked

fuzz: ## Play changed conversations to the agent for 10 minutes (PROBITY_FUZZ_SECONDS, PROBITY_FUZZ_SEED)
	@tests/setup.sh build
	cargo build --quiet --locked --bin probity
	cargo test --quiet --locked --test it -- --ignored --exact fuzz::for_a_while --nocapture

variants: ## Check that each backend compiles alone, without a warning
	@tests/setup.sh build
	@for backend in $$(sed -n 's/^all = \[\(.*\)\]/\1/p' Cargo.toml | tr -d '",'); do \
		echo "checking with $$backend only"; \
		said=$$(cargo check --quiet --locked --no-default-features --features $$backend 2>&1) || { echo "$$said"; exit 1; }; \
		case "$$said" in *"warning: "*) echo "$$said"; exit 1 ;; esac; \
	done

static: ## Build all backends as a static binary, as the image has it
	@tests/setup.sh build
	@tests/builds.sh static

builds: ## Build one backend, the light ones, all, and all as a static binary; print time and size
	@tests/setup.sh build
	@tests/builds.sh one light all static

build: ## Build an optimised binary for this machine: target/release/probity
	@tests/setup.sh build
	cargo build --release --locked

bench: ## Measure what the README quotes, on an optimised build
	@tests/setup.sh demo
	cargo build --quiet --profile dist --bin probity
	cargo bench --quiet --profile dev --bench agent

test-tools: $(MACHETE)/bin/cargo-machete ## Check what is rarely needed and no part of CI: shell scripts, unused dependencies
	@tests/setup.sh tools
	shellcheck --severity=warning .ci/run $$(git ls-files '*.sh')
	cargo machete

clean: ## Remove everything that was built in this folder
	cargo clean

$(DENY)/bin/cargo-deny:
	cargo install cargo-deny --debug --version $(CARGO_DENY) --locked --quiet --root $(DENY)

$(MACHETE)/bin/cargo-machete:
	cargo install cargo-machete --debug --version $(CARGO_MACHETE) --locked --quiet --root $(MACHETE)
