# What people and CI run. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo setup models test test-services test-browser check fmt clippy doc deny typos deploy bench bench-load bench-stream eval fuzz instructions leak schemathesis clean

# How many random workspaces `make leak` plays through.
CASES ?= 1000000
# How long `make fuzz` runs each target.
SECONDS ?= 60
# Where embedding models lie.
MODELS_DIR ?= .cache/models
# Where the judged collections of `make eval` lie.
EVAL_DATA ?= ../shared/data
# Where `make bench` keeps the embeddings on which it measures recall.
EMBEDDINGS_DIR ?= .cache/embeddings

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: ## build, import the sample workspace, serve it on http://127.0.0.1:8080 (DEMO_ONESHOT=1: search three times and stop)
	scripts/demo.sh

setup: ## install missing system packages (Debian, Ubuntu)
	scripts/setup.sh

models: setup ## fetch the ONNX Runtime library and the embedding model, pinned by hash
	scripts/fetch-models.sh $(MODELS_DIR)

# The tests that need the model say so themselves when it is not there.
test: setup ## run all tests, doc tests included
	@scripts/fetch-models.sh $(MODELS_DIR) || echo "SKIPPED: tests with the real embedding model; it could not be fetched, see above"
	cargo test --workspace

# What cannot be had is said loudly, here and once more at the end, and the other tests are run.
test-services: setup ## start the servers that some tests need, on loopback, and run those tests
	@scripts/setup.sh services || echo "SKIPPED: all tests by Node.js, those in a browser among them; it could not be installed, see above"
	@scripts/fetch-models.sh $(MODELS_DIR) || echo "SKIPPED: tests with the real embedding model, those in a browser among them; it could not be fetched, see above"
	scripts/test-services.sh

test-browser: models ## drive the page in a real Chromium and /mcp by a client; screenshots in target/browser
	scripts/test-browser.sh

check: fmt clippy doc deny typos deploy ## formatting, lints, documentation, dependencies, spelling, image, compose file, alerts

fmt:
	@if cargo fmt --version >/dev/null 2>&1; then cargo fmt --all --check; \
	else echo "SKIPPED: formatting; rustup component add rustfmt"; fi

clippy:
	@if cargo clippy --version >/dev/null 2>&1; then cargo clippy --workspace --all-targets -- -D warnings; \
	else echo "SKIPPED: lints; rustup component add clippy"; fi

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Advisories come from the network; without it, the rest is checked.
deny:
	@if ! command -v cargo-deny >/dev/null; then echo "SKIPPED: dependencies; cargo install --locked cargo-deny"; exit 0; fi; \
	cargo deny check bans licenses sources; \
	if cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; \
	else echo "SKIPPED: advisories; their database cannot be reached"; fi

typos:
	@scripts/typos.sh

deploy:
	@scripts/check-deploy.sh

# The whole workspace is built each time, so that it is built once.
bench: models ## run the benchmarks; each says what it measures, on what and with which seed
	cargo bench --workspace --bench access
	cargo build --release --workspace --example embeddings
	target/release/examples/embeddings $(EMBEDDINGS_DIR)
	cargo bench --workspace --bench vectors -- $$(test -s $(EMBEDDINGS_DIR)/queries.f32 && echo --embeddings $(abspath $(EMBEDDINGS_DIR)))
	cargo bench --workspace --bench analysis --bench search --bench writing
	cargo bench --workspace --bench embed --bench generate --bench ingest --bench hybrid
	cargo bench --workspace --bench scale

# Starts a Kafka of its own; takes Java and Maven.
bench-stream: setup ## measure events a second through Kafka, a surge, and an import beside edits
	CORPUS=$(EVAL_DATA)/docs-win32 scripts/bench-stream.sh

bench-load: models ## offer a server requests of a thousand callers, at more and more of them a second
	cargo build --release --workspace
	cargo bench --workspace --bench scale -- --only load --copies 1 --corpus $(abspath $(EVAL_DATA)/docs-win32) --server $(abspath target/release/tessera)

# Not part of `make test`: it takes a release build, which is minutes on a clean checkout.
instructions: setup ## count the instructions of the hot paths and compare with eval/baselines (needs valgrind)
	scripts/instructions.sh

fuzz: setup ## fuzz what takes bytes from outside, SECONDS for each target (needs rustup)
	scripts/fuzz.sh $(SECONDS)

# The first run embeds the collections, which takes an hour or more of a core; later ones take minutes.
eval: models ## measure search on the judged collections below EVAL_DATA, and fail where it is worse than eval/baselines
	cargo run --release -- eval gate --data samples --data $(EVAL_DATA)

leak: ## play CASES random workspaces against the access oracle
	LEAK_CASES=$(CASES) cargo test --release -p eval --test it leak -- --nocapture

.PHONY: crash
# How often `make crash` kills.
ROUNDS ?= 1000
crash: ## kill an ingesting process ROUNDS times, and compare what is left with a clean run
	CRASH_ROUNDS=$(ROUNDS) cargo test --release -p eval --test it crash -- --nocapture

schemathesis: models ## send the API what its description allows and does not; no 5xx and no undocumented status may come back
	scripts/schemathesis.sh

clean: ## remove what was built, and the demo's data
	cargo clean
	rm -rf .tessera
