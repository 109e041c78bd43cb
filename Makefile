.DEFAULT_GOAL := help
.PHONY: help run stop test check build train bench install uninstall clean

help: ## This list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: ## Build, start httpd and back ends on free loopback ports, show which member answers
	@ci/demo run

stop: ## End what 'make run' started
	@ci/demo stop

test: ## Everything: dependencies, lints, build, unit, loom, a real httpd
	@ci/test

check: ## Format, lints, documentation, licences
	@ci/check

build: ## Module, command line and back ends, with what the build needs
	@ci/deps build
	@ci/build

train: ## The module again, by what a load runs through: less time a request
	@ci/train

bench: ## Against stock httpd, nginx, HAProxy and others (make bench-NAME: one of them)
	@ci/bench

bench-%:
	@ci/bench $*

install: ## Into Debian's layout, for a2enmod (as root; without cargo, what 'make build' left)
	@! command -v cargo >/dev/null || $(MAKE) --no-print-directory build
	@ci/install

uninstall: ## Take it away again (as root)
	@ci/install remove

clean: stop ## End the demo, remove what was built
	cargo clean
	rm -rf run
