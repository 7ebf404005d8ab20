# The two commands to begin with: `make demo` and `make test`. `make help` lists the rest.

CARGO_DENY := 0.20.2
TOOLS := $(CURDIR)/target/tools
export PATH := $(PATH):$(TOOLS)/bin:/usr/sbin:/usr/lib/postgresql/15/bin

.PHONY: help demo demo-all servers test lint variants rules unit fuzz bench build builds clean

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: ## Start real servers on loopback and Probity beside them; Ctrl-C ends all
	@tests/setup.sh demo
	@cargo build --quiet --bin probity --example demo
	@cargo run --quiet --example demo

demo-all: ## The same with every server that is there, also of those that `make servers` fetches
	@tests/setup.sh demo
	@cargo build --quiet --bin probity --example demo
	@cargo run --quiet --example demo all

servers: ## Fetch or build, once, the servers that Debian does not have
	@tests/setup.sh servers
	@tests/farm/build.sh

test: ## Install what is missing, start what is needed, check everything
	@tests/setup.sh test
	@tests/farm/build.sh
	$(MAKE) --no-print-directory lint rules unit

lint: $(TOOLS)/bin/cargo-deny ## Format, clippy, licences and sources, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --locked check --hide-inclusion-graph bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

variants: ## A build with a single backend, for each of them
	@tests/setup.sh build
	for backend in $$(sed -n 's/^all = \[\(.*\)\]/\1/p' Cargo.toml | tr -d '",'); do \
		echo "building with $$backend only" && \
		cargo check --quiet --locked --no-default-features --features $$backend || exit 1; \
	done

rules: ## Prometheus' own tools on the alert rules
	promtool check rules deploy/prometheus/alerts.yaml
	promtool test rules deploy/prometheus/alerts_test.yaml

unit: ## The four rings of tests
	cargo test --workspace --locked

fuzz: ## Play changed conversations to the agent for 10 minutes (PROBITY_FUZZ_SECONDS, PROBITY_FUZZ_SEED)
	@tests/setup.sh build
	cargo build --quiet --locked --bin probity
	cargo test --quiet --locked --test it -- --ignored --exact fuzz::for_a_while --nocapture

bench: ## Measure what the README quotes, on an optimised build
	@tests/setup.sh demo
	cargo build --quiet --profile dist --bin probity
	cargo bench --quiet --profile dev --bench agent

build: ## An optimised binary for this machine: target/release/probity
	@tests/setup.sh build
	cargo build --release --locked

builds: variants ## Build as images have it: one backend, the light ones, all, all as a static binary
	@tests/builds.sh

clean: ## Remove everything that was built
	cargo clean

$(TOOLS)/bin/cargo-deny:
	cargo install cargo-deny --debug --version $(CARGO_DENY) --locked --quiet --root $(TOOLS)
