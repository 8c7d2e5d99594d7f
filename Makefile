# CFLAGS, CPPFLAGS, LDFLAGS and DESTDIR belong to packagers; what the program itself needs stands
# in the OWN_ variables.

VERSION  = 0.1.0
BUILD    = build
PREFIX   = /usr/local
CFLAGS  ?= -O2 -g
LUA      = lua5.4
PKGS     = lua5.4 libcurl openssl

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
           -Wwrite-strings -Wundef -Wvla
HARDEN   = -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wformat -Werror=format-security
DEFINES  =
OWN_CFLAGS  = -std=c11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(DEFINES) $(WARNINGS) $(HARDEN) \
              -fPIE -MMD -MP -Isrc $(shell pkg-config --cflags $(PKGS) libxml-2.0)
OWN_LDFLAGS = -pie -Wl,-z,relro -Wl,-z,now -Wl,--as-needed
LDLIBS      = $(shell pkg-config --libs $(PKGS))

BIN     = $(BUILD)/etcd-bootstrap
MODULES = $(filter-out lua/types.lua,$(shell find lua -name '*.lua' | LC_ALL=C sort))
OBJECTS = $(patsubst src/%.c,$(BUILD)/%.o,$(wildcard src/*.c)) $(BUILD)/embed.o
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# Everything but these compiles.
ifneq ($(filter-out deps test check demo help clean,$(or $(MAKECMDGOALS),all)),)
ifeq ($(shell command -v pkg-config),)
$(error pkg-config is missing: tools/deps build installs what compiling needs)
endif
endif

all: $(BIN) ## build build/etcd-bootstrap

asan: ## build build/asan/etcd-bootstrap, which stops at the first invalid access or undefined act
	+@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan HARDEN= \
		CFLAGS='-O1 -g $(SANITIZE)' LDFLAGS='$(SANITIZE)'

testbin: ## build build/test/etcd-bootstrap, the only build whose gate rules can be switched off
	+@$(MAKE) --no-print-directory BUILD=$(BUILD)/test DEFINES=-DGATE_TEST

install: $(BIN) ## install below $(DESTDIR)$(PREFIX)
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/etcd-bootstrap

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

.PHONY: all asan testbin install clean help FORCE
.DELETE_ON_ERROR:

$(BIN): $(OBJECTS)
	$(CC) $(CFLAGS) $(OWN_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/%.o: src/%.c Makefile | $(BUILD)
	$(CC) $(OWN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: $(BUILD)/%.c
	$(CC) $(OWN_CFLAGS) -Wno-overlength-strings $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/embed.c: src/embed.lua $(MODULES) $(BUILD)/modules
	$(LUA) src/embed.lua $(MODULES) > $@

# Changes only when a module comes or goes.
$(BUILD)/modules: FORCE | $(BUILD)
	@echo '$(MODULES)' | cmp -s - $@ || echo '$(MODULES)' > $@

$(BUILD):
	mkdir -p $@

-include $(OBJECTS:.o=.d)

deps: ## install what is missing on this machine (tools/deps GROUP...)
	@tools/deps all

test: ## build and run every spec; ends with one line
	@BUILD=$(BUILD) tools/test

check: ## formatting, lints, analysers, house rules
	@tools/check

demo: ## a cluster is founded, loses a machine and heals; BREAK=step leaves a step out
	@BUILD=$(BUILD) BREAK=$(BREAK) tools/demo

.PHONY: deps test check demo

fuzz: ## run the fuzzers, TIME=60 seconds each, TARGET=json for one; print the parsers' line coverage
	@BUILD=$(BUILD) fuzz/run "$(TIME)" "$(TARGET)"

.PHONY: fuzz

bench: $(BIN) ## measure against the goals; PART=restart for one part
	@BUILD=$(BUILD) LUA=$(LUA) bench/run $(PART)

.PHONY: bench

chaos: $(BIN) $(if $(BREAK),testbin) ## faults over real etcd while a writer writes: SEED=1 RUNS=10 SIZE=3 ETCD=PATH; BREAK=RULE off
	@BUILD=$(BUILD) SEED=$(SEED) RUNS=$(RUNS) SIZE=$(SIZE) ETCD=$(ETCD) BREAK=$(BREAK) LOSE=$(LOSE) chaos/run

.PHONY: chaos
