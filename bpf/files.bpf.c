// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Identifies files for the filters of frame/identity.h. Loaded with the first policy that has such a filter; it makes their
 * maps. One program reports a file's identity to user space, the others follow links and renames.
 */
#include "vmlinux/kernel.h"
#include "base/core_fixes.h"
#include "frame/filter.h"
#include "base/components.h"
#include "frame/identity.h"
#include "match/above.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
char VERSION[] SEC("ktrail_version") = KTRAIL_VERSION;

#define RENAME_EXCHANGE 2 /* include/uapi/linux/fs.h */

/* A slot for each program, because one may interrupt the other. */
enum files_slot {
	LINK_SLOT,
	RENAME_SLOT,
	FILES_SLOTS,
};

MAP(ARRAY, identified, __u32, struct identified, 1);

/*
 * A file has a name below folders of these filters. Two CPUs may keep a file at once: only one inserts it, and both add to it. Not 0: no room.
 */
static __always_inline long keep_linked(__u64 inode, __u64 filters, const __u32 *named)
{
	struct identity_screen *screen = screen_of_files();
	struct linked_news *news = news_of_links();
	struct identity key = identity_of(inode);
	struct linked_filters *found = bpf_map_lookup_elem(&linked, &key);
	struct linked_filters made = {};
	long failed = 0;

	if (!screen || !news)
		return 0;
	made.round = screen->round;
	if (!found || found->round == NO_ROUND) {
		/* Filters that another CPU adds to an earlier file's entry may go with it: the next search finds them. */
		if (found)
			__sync_fetch_and_add(&news->moved, 1);
		failed = bpf_map_update_elem(&linked, &key, &made, found ? BPF_EXIST : BPF_NOEXIST);
		found = bpf_map_lookup_elem(&linked, &key);
	}
	if (!found)
		return failed;
	__sync_fetch_and_or(&found->filters, filters);
	found->round = screen->round;
	add_names(found->named, named);
	return 0;
}

/*
 * Run by the agent: identifies one of its open files, by its descriptor. Keeps it for the filters of a folder in which the agent found it, if it
 * has several links; they and the number of the folder's path are further arguments, or 0. Returns an enum identify_result.
 */
SEC("raw_tp") int file_identify(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 files = (__u64)LOAD(task_struct, bpf_get_current_task(), files), table, file, inode;
	__u32 fd = ctx->args[0], named[NAMED_MAX] = { ctx->args[2] }, zero = 0;
	struct identified *to = bpf_map_lookup_elem(&identified, &zero);

	if (!to || !files)
		return IDENTIFIED_NOTHING;
	table = (__u64)LOAD(files_struct, files, fdt);
	if (fd >= LOAD(fdtable, table, max_fds))
		return IDENTIFIED_NOTHING;
	file = 0;
	bpf_probe_read_kernel(&file, sizeof(file), (void *)((__u64)LOAD(fdtable, table, fd) + 8 * fd));
	if (!file)
		return IDENTIFIED_NOTHING;
	inode = (__u64)LOAD(file, file, f_inode);
	to->identity = identity_of(inode);
	to->links = LOAD(inode, inode, i_nlink);
	to->mode = LOAD(inode, inode, i_mode);
	if (!ctx->args[1] || to->links < 2 || !keep_linked(inode, ctx->args[1], named))
		return IDENTIFIED_FILE;
	return IDENTIFIED_UNKEPT;
}

/* Run by the agent after a search that had room for all links of these filters. */
SEC("raw_tp") int file_known(struct bpf_raw_tracepoint_args *ctx)
{
	struct linked_news *news = news_of_links();

	if (news)
		__sync_fetch_and_and(&news->unknown, ~ctx->args[0]);
	return 0;
}

/* judge_file as a global function, as those of base/path_text.h: a rename calls it up to eight times, and the verifier checks it once. */
__noinline int judge(__u32 slot, __u64 dentry)
{
	struct file_walk *w = file_walk_of(slot);

	if (w)
		judge_file(slot, w, dentry);
	return 0;
}

/* keep_linked for a link or a rename: without room, all files with several links match until a search has room for them. */
static __always_inline void keep_news(__u64 inode, __u64 filters, const __u32 *named)
{
	struct linked_news *news = news_of_links();

	if (!news)
		return;
	__sync_fetch_and_add(&news->kept, 1);
	if (keep_linked(inode, filters, named))
		__sync_fetch_and_or(&news->unknown, filters);
}

/* Filters of all folders above a name; adds to the names in the slot's walk. */
static __always_inline __u64 filters_above(__u32 slot, __u64 name)
{
	struct file_walk *w = file_walk_of(slot);

	if (!w)
		return 0;
	w->hits = 0;
	w->flags = 0;
	judge(slot, (__u64)LOAD(dentry, name, d_parent));
	return w->hits;
}

/* A file gets a further name: before it can be used. One of the two may be below a folder. */
SEC("kprobe") int file_link(struct pt_regs *ctx)
{
	__u64 from = PT_REGS_PARM1(ctx), to = PT_REGS_PARM3(ctx), inode, filters;
	struct file_walk *w = file_walk_of(LINK_SLOT);

	if (!from || !to || !w)
		return 0;
	inode = (__u64)LOAD(dentry, from, d_inode);
	if (!inode)
		return 0;
	judge_nothing(w);
	judge(LINK_SLOT, from);
	filters = w->hits;
	filters |= filters_above(LINK_SLOT, to);
	if (filters)
		keep_news(inode, filters, w->named);
	return 0;
}

/* A file or folder is about to leave folders of sticky filters. */
static __always_inline void leaves(__u64 what, __u64 to)
{
	__u64 inode = (__u64)LOAD(dentry, what, d_inode), filters;
	struct file_walk *w = file_walk_of(RENAME_SLOT);
	struct identity_screen *screen = screen_of_files();
	struct linked_news *news = news_of_links();
	struct identity_filters made = {}, *found;
	struct identity key;

	if (!inode || !w || !screen || !news || !screen->sticky)
		return;
	judge_nothing(w);
	judge(RENAME_SLOT, what);
	filters = w->hits & screen->sticky;
	if (!filters)
		return;
	made.named = w->named[0];
	filters &= ~filters_above(RENAME_SLOT, to);
	if (!filters)
		return;
	key = identity_of(inode);
	found = bpf_map_lookup_elem(&left_files, &key);
	made.below = filters;
	if (found)
		__sync_fetch_and_or(&found->below, filters);
	else
		bpf_map_update_elem(&left_files, &key, &made, BPF_ANY);
	note_number(news->left, key.ino);
}

/*
 * After a move below a folder, other links of the file lead to a file there, and a moved folder may hold such files. After a move out of a folder,
 * a file may no longer be a link of a file there.
 */
static __always_inline void moves(__u64 what, __u64 to)
{
	__u64 inode = (__u64)LOAD(dentry, what, d_inode), filters;
	struct file_walk *w = file_walk_of(RENAME_SLOT);
	struct linked_news *news = news_of_links();
	bool folder;

	if (!inode || !news || !w)
		return;
	folder = (LOAD(inode, inode, i_mode) & S_IFMT) == S_IFDIR;
	if (!folder && LOAD(inode, inode, i_nlink) < 2)
		return;
	clear_names(w->named);
	filters = filters_above(RENAME_SLOT, to);
	if (filters && !folder)
		keep_news(inode, filters, w->named);
	if (folder ? filters : filters_above(RENAME_SLOT, what) & ~filters)
		__sync_fetch_and_add(&news->moved, 1);
}

/* A name is about to go. If that fails, its file still matches by the name, and so do links that are made of it. */
static __always_inline void goes(__u64 name)
{
	__u64 inode = (__u64)LOAD(dentry, name, d_inode);
	struct identity_screen *screen = screen_of_files();
	struct linked_news *news = news_of_links();
	struct linked_filters *found;
	struct identity key;
	__u8 yes = 1;

	if (!inode || !screen || !news || LOAD(inode, inode, i_nlink) > 1)
		return;
	key = identity_of(inode);
	found = bpf_map_lookup_elem(&linked, &key);
	if (found)
		found->round = NO_ROUND;
	if (!may_be(screen->files, key.ino) || !bpf_map_lookup_elem(&identities, &key))
		return;
	bpf_map_update_elem(&gone_files, &key, &yes, BPF_ANY);
	note_number(news->gone, key.ino);
}

SEC("kprobe") int file_unlink(struct pt_regs *ctx)
{
	__u64 name = PT_REGS_PARM2(ctx);

	if (name)
		goes(name);
	return 0;
}

/* A replaced file moves nowhere: its other links, if it has any, stay where they are. */
SEC("kprobe") int file_rename(struct pt_regs *ctx)
{
	__u64 from = PT_REGS_PARM2(ctx), to = PT_REGS_PARM4(ctx), flags = PT_REGS_PARM5(ctx);

	if (!from || !to)
		return 0;
	leaves(from, to);
	moves(from, to);
	if (flags & RENAME_EXCHANGE) {
		leaves(to, from);
		moves(to, from);
	} else {
		goes(to);
	}
	return 0;
}
