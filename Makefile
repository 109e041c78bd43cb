.DEFAULT_GOAL := help
.PHONY: help run stop test check bench install clean

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

bench: ## Against stock httpd, nginx and HAProxy, as ratios (make bench-NAME: one of them)
	@ci/bench

bench-%:
	@ci/bench $*

install: ## Install module and configuration for a2enmod (as root, after a build)
	@ci/install

clean: stop ## End the demo, remove what was built
	cargo clean
	rm -rf run
