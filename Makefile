# Owns the words a person types. Each does all the set-up it needs; scripts/ holds how.
#
#   make run            build the page and the server, start it with development keys on port 7880
#   make run ARGS=...   the same with further options, for example ARGS="--port 8000"
#   make build          only build: the page (if Node is here) and the server, target/release/sfumato
#   make page           only build the page, web/dist
#   make test           everything: formatting, lints, unit tests, and the whole server against real clients
#   make test-unit      only the Rust tests
#   make test-clients   only the whole server against real clients (tests/clients/README.md: one suite by itself)
#   make test-decoders  only real decoders over layer switches (tests/decoders)
#   make test-chart     only the Helm chart, alerts, dashboard, image and docs (tests/chart)
#   make test-operations only a live server's metrics, with a real Prometheus (tests/operations)
#   make bench          what each step of a packet costs (criterion; BENCH=srtp for one of benches/)
#   make lint           cargo fmt --check and clippy, warnings are errors
#   make load           what a forwarded packet costs: a short set of load tests against servers they start (load-tests/README.md)
#   make sim            the scoreboard of media quality in virtual time: one line a case (docs/media-quality.md)
#   make sim ARGS=...   a part of it, for example ARGS="S5 --cell viewer-even5-rtt100 --seed 7 --verbose"
#   make clean          remove everything that was built or installed here
#   make help           this text

.DEFAULT_GOAL := help
.PHONY: run build page test test-unit test-clients test-decoders test-chart test-operations bench lint load sim clean help

run: build
	@exec target/release/sfumato --dev $(ARGS)

build: page
	@scripts/setup-system build
	cargo build --locked --release

page:
	@scripts/build-page

test:
	@scripts/test

test-unit:
	@scripts/setup-system build
	cargo test --locked --workspace

test-clients:
	@scripts/test clients

test-decoders:
	@scripts/setup-system build
	@scripts/test decoders

test-chart:
	@scripts/setup-system build
	@scripts/test chart

test-operations:
	@scripts/setup-system build
	@scripts/test operations

bench:
	@scripts/setup-system build
	cargo bench --locked $(if $(BENCH),--bench $(BENCH),--benches)

lint:
	@scripts/setup-system build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

load:
	@scripts/setup-system build
	cargo build --locked --release --package sfumato --package sfumato-load
	target/release/sfumato-load suite --server target/release/sfumato --server-cores 0 --cores 1 --out target/load $(ARGS)

sim:
	@scripts/setup-system build
	cargo build --locked --release --package sfumato-sim
	target/release/sfumato-sim $(ARGS)

clean:
	cargo clean
	rm -rf web/dist web/node_modules tests/clients/node_modules tests/clients/python/.venv tests/chart/.tools

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))
