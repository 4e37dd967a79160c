// SPDX-License-Identifier: Apache-2.0
/*
 * What does a one-byte pread cost? Opens the given files, then answers on standard output to lines of standard
 * input: `FILE BATCHES CALLS` (FILE counts from 0) makes BATCHES x CALLS preads, and is answered by the median batch's
 * nanoseconds per call. With /etc a file system of its own, in a mount namespace of its own.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 16
#define BATCHES_MAX 1000

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int fds[FILES_MAX], file, batches, calls, i, j;
	double ns[BATCHES_MAX], start;
	char byte;

	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/etc", "tmpfs", 0, "mode=755"))
		fail("/etc of its own");
	if (argc - 1 > FILES_MAX)
		return 2;
	for (i = 1; i < argc; i++) {
		fds[i - 1] = open(argv[i], O_CREAT | O_RDWR, 0644);
		if (fds[i - 1] < 0 || pwrite(fds[i - 1], "x", 1, 0) != 1)
			fail(argv[i]);
	}
	printf("ready\n");
	fflush(stdout);
	while (scanf("%d %d %d", &file, &batches, &calls) == 3) {
		if (file < 0 || file >= argc - 1 || batches < 1 || batches > BATCHES_MAX || calls < 1)
			return 2;
		for (i = 0; i < batches; i++) {
			start = now();
			for (j = 0; j < calls; j++)
				if (pread(fds[file], &byte, 1, 0) != 1)
					fail("pread");
			ns[i] = (now() - start) / calls;
		}
		qsort(ns, batches, sizeof(*ns), by_size);
		printf("%.1f\n", ns[batches / 2]);
		fflush(stdout);
	}
	return 0;
}
