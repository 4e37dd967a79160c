// SPDX-License-Identifier: Apache-2.0
/*
 * A plugin of QEMU 7.2 (docs/devel/tcg-plugins) for a guest of x86_64 with one processor. It counts how often the guest executes each instruction of
 * its kernel between the two marks of pread.c. At the second mark it writes OUT/N, N from 0: lines `ADDRESS COUNT [TEXT]`, with the text of
 * instructions outside of the kernel's own image (modules, BPF programs).
 *
 *   -plugin count.so,out=OUT
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Debian packages no qemu-plugin.h with QEMU 7.2; these are its declarations that are used here. */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated_fn)(uint64_t id, struct qemu_plugin_tb *tb);
typedef void (*executed_fn)(unsigned int cpu, void *data);
int qemu_plugin_version = 1;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated_fn fn);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *to, uint64_t number);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, executed_fn fn, int flags, void *data);
#define INLINE_ADD_U64 0
#define NO_REGISTERS 0

#define KERNEL 0xffffffff80000000ull
#define MODULES 0xffffffffc0000000ull
#define BEGIN 0x11223344
#define END 0x55667788
#define PLACES (1 << 20) /* more than a kernel of Debian 12 executes here, from its boot on */

static struct place {
	uint64_t address;
	uint64_t count;
	char *text;
} *places;
static char *out;
static int written;

static struct place *place_of(uint64_t address)
{
	uint64_t i = (address * 0x9e3779b97f4a7c15ull) >> 44;
	size_t tries;

	for (tries = 0; tries < PLACES; tries++, i = (i + 1) % PLACES) {
		if (places[i].address == address)
			return &places[i];
		if (!places[i].address) {
			places[i].address = address;
			return &places[i];
		}
	}
	fprintf(stderr, "count.c: more than %d instructions\n", PLACES);
	exit(1);
}

static void begin(unsigned int cpu, void *data)
{
	size_t i;

	for (i = 0; i < PLACES; i++)
		places[i].count = 0;
}

static void end(unsigned int cpu, void *data)
{
	char name[4096];
	FILE *file;
	size_t i;

	snprintf(name, sizeof(name), "%s/%d", out, written++);
	file = fopen(name, "w");
	if (!file) {
		perror(name);
		exit(1);
	}
	for (i = 0; i < PLACES; i++) {
		if (places[i].count)
			fprintf(file, "%lx %lu %s\n", places[i].address, places[i].count, places[i].text ? places[i].text : "");
	}
	if (fclose(file)) {
		perror(name);
		exit(1);
	}
}

static void mark(struct qemu_plugin_insn *insn)
{
	const uint8_t *code = qemu_plugin_insn_data(insn);
	uint32_t number;

	if (qemu_plugin_insn_size(insn) != 7 || memcmp(code, "\x0f\x1f\x80", 3))
		return;
	memcpy(&number, code + 3, sizeof(number));
	if (number == BEGIN)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, NO_REGISTERS, NULL);
	else if (number == END)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, end, NO_REGISTERS, NULL);
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb), i;

	for (i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		struct place *place;

		if (address < KERNEL) {
			mark(insn);
			continue;
		}
		place = place_of(address);
		/* Another program may be there by now. */
		free(place->text);
		place->text = address >= MODULES ? qemu_plugin_insn_disas(insn) : NULL;
		qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &place->count, 1);
	}
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = strdup(argv[i] + 4);
	}
	places = calloc(PLACES, sizeof(*places));
	if (!out || !places) {
		fprintf(stderr, "count.c: expected out=FOLDER\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
