// SPDX-License-Identifier: Apache-2.0
/*
 * Measures the cost of a one-byte pread. Opens the given files, then answers lines of standard input on standard output. `FILE BATCHES
 * CALLS` (FILE counts from 0) makes BATCHES x CALLS preads; the answer is the median batch's nanoseconds per call. The file `udp` is a
 * socket on a port of 127.0.0.1: getsockname calls replace the preads. The file `exec` is this program: processes that run it without
 * arguments, and end, replace them. /etc is a file system of its own, in a mount namespace of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 16
#define BATCHES_MAX 1000

enum what { FILE_READ, UDP, EXEC };

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

static int udp_socket(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("udp");
	return fd;
}

static void run(const char *program)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execl(program, program, NULL);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		fail(program);
}

static void call(int fd, enum what what, const char *program)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	char byte;

	if (what == EXEC) {
		run(program);
	} else if (what == UDP) {
		if (getsockname(fd, (struct sockaddr *)&address, &size))
			fail("getsockname");
	} else if (pread(fd, &byte, 1, 0) != 1) {
		fail("pread");
	}
}

int main(int argc, char **argv)
{
	int fds[FILES_MAX], file, batches, calls, i, j;
	double ns[BATCHES_MAX], start;
	enum what what[FILES_MAX];

	if (argc == 1)
		return 0;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/etc", "tmpfs", 0, "mode=755"))
		fail("/etc of its own");
	if (argc - 1 > FILES_MAX)
		return 2;
	for (i = 1; i < argc; i++) {
		what[i - 1] = !strcmp(argv[i], "udp") ? UDP : !strcmp(argv[i], "exec") ? EXEC : FILE_READ;
		if (what[i - 1] == EXEC)
			continue;
		if (what[i - 1] == UDP) {
			fds[i - 1] = udp_socket();
			continue;
		}
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
				call(fds[file], what[file], argv[0]);
			ns[i] = (now() - start) / calls;
		}
		qsort(ns, batches, sizeof(*ns), by_size);
		printf("%.1f\n", ns[batches / 2]);
		fflush(stdout);
	}
	return 0;
}
