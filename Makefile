# mod_authnz_django. `make` alone says what there is to make.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Recipes are programs that use all cores by themselves, and their order matters.
.NOTPARALLEL:

APXS ?= apxs
DB ?= sqlite
ROUNDS ?= 10
PORT ?= 8080
DESTDIR ?=

# rustup puts cargo there, and a shell that was open before does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
export APXS DB PORT ROUNDS
# What the tests go by. One target folder, whatever the environment says: the paths below are in it.
export CARGO_TARGET_DIR := $(CURDIR)/target
export MODULE := $(CURDIR)/target/mod_authnz_django.so
export MODULE_PANIC := $(CURDIR)/target/mod_authnz_django-panic.so
export DJANGO_VENV := $(CURDIR)/target/venv

ARTEFACT := target/dist/libmod_authnz_django.so

.PHONY: help setup build check unit test demo bench image install uninstall clean

help: ## Say what there is to make
	@echo "mod_authnz_django: protects what Apache serves with the users and groups of a Django site"
	echo
	sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) |
	    while IFS=$$'\t' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done
	echo
	echo "  demo:    DB=sqlite|postgresql (sqlite)  PORT=number (8080)"
	echo "  bench:   ROUNDS=number (10)"
	echo "  install: APXS=path (the one in PATH)    DESTDIR=directory (none)"

setup: ## Install whatever is missing for all of this (Debian packages, Django into target/venv)
	@tests/setup.sh check
	tests/setup.sh test

build: ## Build the module: target/mod_authnz_django.so
	@tests/setup.sh build
	cargo build --profile dist
	# A new file, never an old one overwritten: a running httpd may have that one mapped.
	install -m 755 $(ARTEFACT) $(MODULE)

check: ## Look at the source: rustfmt, clippy with warnings denied, the arrow rule of the design
	@tests/setup.sh check
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --features test-panic -- -D warnings
	# As on every architecture but x86-64.
	cargo clippy --lib -- --cfg portable -D warnings
	tests/arrows.sh

unit: ## Run the unit tests alone
	@tests/setup.sh build
	cargo test --release --lib

# The panic that a test asks for is compiled into a file of its own.
test: ## Install what is missing, build, run every unit and integration test, count them
	@tests/setup.sh test
	cargo build --release --features test-panic
	install -m 755 target/release/libmod_authnz_django.so $(MODULE_PANIC)
	$(MAKE) build
	exec tests/run.sh

demo: ## Start Apache with the module and a Django site of its own, to try it with curl
	@exec tests/demo.sh

bench: ## Measure against mod_authn_file, mod_authn_dbd and mod_wsgi + Django: target/bench/bench.md and bench.svg
	@tests/setup.sh bench
	$(MAKE) build
	mkdir -p target/bench
	become=(env)
	[ "$$(id -u)" = 0 ] || become=(sudo --preserve-env=MODULE,DJANGO_VENV,ROUNDS,CELL)
	# Its table of the hash engines becomes a part of bench.md.
	cargo bench --bench pbkdf2 | tee target/bench/pbkdf2.txt
	"$${become[@]}" /usr/bin/python3 -B benches/bench.py

image: ## Build the container images with buildah, where there is no docker (as root, or through sudo)
	@tests/setup.sh image
	$(MAKE) build
	become=
	[ "$$(id -u)" = 0 ] || become=sudo
	exec $$become docker/build.sh

# `sudo make install` after `make build` compiles nothing as root.
$(MODULE):
	@$(MAKE) build

install: $(MODULE) ## Install the module to where apxs says, and for a2enmod on Debian and Ubuntu
	@libexec=$$($(APXS) -q LIBEXECDIR)
	mods=$$($(APXS) -q SYSCONFDIR)/mods-available
	install -D -m 644 $(MODULE) "$(DESTDIR)$$libexec/mod_authnz_django.so"
	echo "installed $(DESTDIR)$$libexec/mod_authnz_django.so"
	if [ ! -d "$$mods" ] && [ ! -d "$(DESTDIR)$$mods" ] && [ ! -e /etc/debian_version ]; then
	    echo "add to httpd.conf: LoadModule authnz_django_module $$libexec/mod_authnz_django.so"
	    exit 0
	fi
	install -d "$(DESTDIR)$$mods"
	sed "s|/usr/lib/apache2/modules|$$libexec|" apache/authnz_django.load >"$(DESTDIR)$$mods/authnz_django.load"
	# The .conf is the administrator's once it is there.
	if [ -e "$(DESTDIR)$$mods/authnz_django.conf" ]; then
	    echo "kept $(DESTDIR)$$mods/authnz_django.conf as it is"
	else
	    install -m 644 apache/authnz_django.conf "$(DESTDIR)$$mods/authnz_django.conf"
	fi
	echo "next: a2enmod authnz_django, a site's configuration, apachectl configtest, and a restart"

uninstall: ## Remove what install put there
	@libexec=$$($(APXS) -q LIBEXECDIR)
	confdir=$$($(APXS) -q SYSCONFDIR)
	mods=$(DESTDIR)$$confdir/mods-available
	# Apache would not start again without the file that it is told to load.
	if [ -e "$(DESTDIR)$$confdir/mods-enabled/authnz_django.load" ]; then
	    echo "still enabled: run a2dismod authnz_django first, and restart Apache" >&2
	    exit 1
	fi
	rm -f "$(DESTDIR)$$libexec/mod_authnz_django.so" "$$mods/authnz_django.load"
	if cmp -s apache/authnz_django.conf "$$mods/authnz_django.conf"; then
	    rm -f "$$mods/authnz_django.conf"
	elif [ -e "$$mods/authnz_django.conf" ]; then
	    echo "kept $$mods/authnz_django.conf: it was edited"
	fi

clean: ## Remove target/: everything built, the venv, the demo's files and logs
	@rm -rf target
