#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/table/table.h"

#define FLOWS 600
#define SELF 7

static struct table *make_table(uint32_t max)
{
	struct table_options options = {.self = SELF,
					.entries_max = max,
					.bindings_max = TABLE_BINDINGS_MAX,
					.hash_key = {1}};
	struct table *table;

	assert_int_equal(table_new(&options, &table), 0);
	return table;
}

static struct entry make_entry(unsigned int i, uint16_t state)
{
	struct entry entry = {.state = state, .timeout = 100, .dport = 80};

	entry.flow.family = i % 3 ? AF_INET : AF_INET6;
	entry.flow.protocol = IPPROTO_TCP;
	entry.flow.caddr[0] = 10;
	entry.flow.caddr[3] = (uint8_t)i;
	entry.flow.cport = (uint16_t)(i / 256 + 1);
	entry.flow.template = i % 5 == 0;
	entry.flags = entry.flow.template ? ENTRY_TEMPLATE : 0;
	entry.daddr[0] = (uint8_t)(i + state);
	return entry;
}

/* The entries that the table should hold, the slow way. */
struct model {
	bool held;
	struct table_version version;
	uint16_t state;
	uint32_t refreshed;
	uint64_t order; /* of its journal position; 0: not in it */
};

static void check(const struct table *table, const struct model *model, unsigned int i)
{
	struct entry want = make_entry(i, model->state), entry;
	table_ref ref = table_find(table, &want.flow);
	struct table_meta meta;

	assert_int_equal(ref != 0, model->held);
	if (!ref)
		return;
	table_get(table, ref, &entry, &meta);
	assert_memory_equal(&entry.flow, &want.flow, sizeof(want.flow));
	assert_memory_equal(entry.daddr, want.daddr, sizeof(want.daddr));
	assert_int_equal(entry.state, model->state);
	assert_int_equal(meta.version.hlc, model->version.hlc);
	assert_int_equal(meta.version.origin, model->version.origin);
	assert_int_equal(meta.list == TABLE_JOURNAL, model->order != 0);
	assert_int_equal(meta.refreshed, model->refreshed);
}

/* A reader sees, in order, each entry whose last change lies behind it, once. */
static void check_journal(struct table *table, const struct model *model, uint64_t from)
{
	struct table_reader reader;
	uint64_t last = from;
	unsigned int seen = 0, want = 0;
	table_ref ref;

	for (unsigned int i = 0; i < FLOWS; i++)
		want += model[i].order > from;
	table_read(table, from, &reader);
	while ((ref = table_read_next(table, &reader))) {
		struct table_meta meta;

		table_get(table, ref, NULL, &meta);
		assert_true(meta.position > last);
		last = meta.position;
		seen++;
	}
	assert_int_equal(seen, want);
}

static enum table_result merge(struct table *table, const struct entry *entry,
			       struct table_version version, uint32_t refreshed)
{
	struct table_displaced displaced;

	return table_merge(table, entry, version, refreshed, &displaced);
}

static bool newer(struct table_version a, struct table_version b)
{
	return a.hlc > b.hlc || (a.hlc == b.hlc && a.origin > b.origin);
}

static void random_change(struct table *table, struct model *model, uint64_t *hlc, uint32_t now)
{
	unsigned int i = (unsigned int)rand() % FLOWS;
	struct entry entry = make_entry(i, (uint16_t)(1 + rand() % 4));
	uint64_t before = (uint64_t)(rand() % 50);
	struct table_version version = {*hlc - before, (uint64_t)(rand() % 4 + 1)};
	enum table_result result;

	if (rand() % 2) {
		result = table_capture(table, &entry, ++*hlc, now);
		version = (struct table_version){*hlc, SELF};
		assert_int_equal(result, model[i].held ? TABLE_CHANGED : TABLE_NEW);
	} else {
		result = merge(table, &entry, version, now);
		if (model[i].held && !newer(version, model[i].version)) {
			assert_true(result == TABLE_STALE || result == TABLE_SAME);
			return;
		}
	}
	model[i] = (struct model){
		.held = true,
		.version = version,
		.state = entry.state,
		.refreshed = now,
		.order = version.origin == SELF ? table_position(table) : 0,
	};
}

static void test_model(void **state)
{
	static struct model model[FLOWS];
	struct table *table = make_table(FLOWS);
	uint64_t hlc = 1000;
	uint32_t now = 1000;

	(void)state;
	srand(1);
	for (int round = 0; round < 20000; round++) {
		random_change(table, model, &hlc, now);
		if (rand() % 100 == 0)
			now += 5;
		if (rand() % 500 == 0) {
			/* 100 s and the time in which the kernel would report it again: 50 s. */
			table_sweep(table, now, 8 * FLOWS);
			for (unsigned int i = 0; i < FLOWS; i++) {
				if (model[i].held && model[i].refreshed + 150 < now)
					model[i] = (struct model){0};
			}
		}
		if (round % 100 == 0) {
			for (unsigned int i = 0; i < FLOWS; i++)
				check(table, &model[i], i);
			check_journal(table, model, (uint64_t)rand() % (table_position(table) + 1));
		}
	}
	table_free(table);
}

/* Readers that stand in the middle while entries change under them, and while the cells behind them
 * are tidied, miss no change. */
static void test_readers(void **state)
{
	struct table *table = make_table(FLOWS);
	uint64_t seen[3][FLOWS] = {0}, position[FLOWS] = {0}, read[3] = {0}, hlc = 1;

	(void)state;
	srand(2);
	for (int round = 0; round < 50000; round++) {
		struct table_reader reader;
		struct entry entry;
		int c = rand() % 5;
		table_ref ref;

		if (c >= 3) {
			unsigned int i = (unsigned int)rand() % FLOWS;

			entry = make_entry(i, 1);
			table_capture(table, &entry, ++hlc, 0);
			position[i] = table_position(table);
			continue;
		}
		table_read(table, read[c], &reader);
		ref = table_read_next(table, &reader);
		if (!ref)
			continue;
		assert_true(table_ref_position(table, ref) > read[c]);
		read[c] = table_ref_position(table, ref);
		for (unsigned int i = 0; i < FLOWS; i++) {
			if (position[i] == read[c])
				seen[c][i] = read[c];
		}
	}
	for (int c = 0; c < 3; c++) {
		for (unsigned int i = 0; i < FLOWS; i++)
			assert_true(seen[c][i] == position[i] || position[i] > read[c]);
	}
	table_free(table);
}

static void test_limits(void **state)
{
	struct table *table = make_table(10);
	struct entry entry;

	(void)state;
	for (unsigned int i = 0; i < 10; i++) {
		entry = make_entry(i, 1);
		assert_int_equal(table_capture(table, &entry, i + 1, 0), TABLE_NEW);
	}
	entry = make_entry(10, 1);
	assert_int_equal(table_capture(table, &entry, 100, 0), TABLE_FULL);
	assert_int_equal(merge(table, &entry, (struct table_version){1, 1}, 0), TABLE_FULL);
	/* Those that are held still change, and room comes back with time. */
	entry = make_entry(3, 2);
	assert_int_equal(table_capture(table, &entry, 101, 1000), TABLE_CHANGED);
	assert_int_equal(table_sweep(table, 1000, 100), 9);
	assert_int_equal(table_count(table), 1);
	entry = make_entry(10, 1);
	assert_int_equal(table_capture(table, &entry, 102, 1000), TABLE_NEW);
	table_free(table);
}

/* An expired entry is found within seconds, and no entry is examined more often than that, however
 * large the budget. */
static void test_sweep(void **state)
{
	struct table *table = make_table(100);
	struct entry entry;

	(void)state;
	for (unsigned int i = 0; i < 40; i++) {
		entry = make_entry(i, 1);
		assert_int_equal(table_capture(table, &entry, i + 1, i < 10 ? 1000 : 2000),
				 TABLE_NEW);
	}
	assert_int_equal(table_sweep(table, 2000, 1000), 10);
	for (unsigned int i = 0; i < 10; i++) {
		entry = make_entry(i, 1);
		assert_int_equal(table_capture(table, &entry, i + 41, 1000), TABLE_NEW);
	}
	assert_int_equal(table_sweep(table, 2000, 1000), 0);
	assert_int_equal(table_sweep(table, 2005, 1000), 10);
	/* A budget for a part goes on where the last one ended. */
	for (unsigned int i = 0; i < 8; i++)
		assert_true(table_sweep(table, 3500, 10) <= 10);
	assert_int_equal(table_count(table), 0);
	table_free(table);
}

static uint32_t entries_of(const struct table *table, uint64_t id)
{
	struct table_origin origin;

	for (unsigned int i = 0; table_origin(table, i, &origin); i++) {
		if (origin.id == id)
			return origin.entries;
	}
	return 0;
}

/* Entries are counted where they have their origin, and a director without any makes room for
 * another. */
static void test_origins(void **state)
{
	struct table *table = make_table(2 * TABLE_ORIGINS_MAX);
	struct entry entry = make_entry(0, 1);
	struct table_origin origin;

	(void)state;
	assert_true(table_origin(table, 0, &origin));
	assert_int_equal(origin.id, SELF);
	assert_int_equal(origin.entries, 0);
	assert_false(table_origin(table, 1, &origin));
	assert_int_equal(merge(table, &entry, (struct table_version){5, 100}, 0), TABLE_NEW);
	assert_int_equal(entries_of(table, 100), 1);
	assert_int_equal(merge(table, &entry, (struct table_version){6, 101}, 0), TABLE_CHANGED);
	assert_int_equal(entries_of(table, 100), 0);
	assert_int_equal(entries_of(table, 101), 1);
	assert_int_equal(table_capture(table, &entry, 7, 0), TABLE_CHANGED);
	assert_int_equal(entries_of(table, 101), 0);
	assert_int_equal(entries_of(table, SELF), 1);
	/* One of each of as many directors as there may be. */
	for (unsigned int i = 1; i < TABLE_ORIGINS_MAX; i++) {
		entry = make_entry(i, 1);
		assert_int_equal(merge(table, &entry, (struct table_version){5, 100 + i}, 2000),
				 TABLE_NEW);
		assert_int_equal(entries_of(table, 100 + i), 1);
	}
	entry = make_entry(5000, 1);
	assert_int_equal(merge(table, &entry, (struct table_version){5, 50}, 2000), TABLE_FULL);
	/* Ours ends, and makes no room for others. */
	assert_int_equal(table_sweep(table, 2000, 4 * TABLE_ORIGINS_MAX), 1);
	assert_int_equal(entries_of(table, SELF), 0);
	assert_int_equal(merge(table, &entry, (struct table_version){5, 50}, 2000), TABLE_FULL);
	table_drop(table, table_list_head(table, TABLE_INJECT));
	assert_int_equal(merge(table, &entry, (struct table_version){5, 50}, 2000), TABLE_NEW);
	assert_int_equal(entries_of(table, 50), 1);
	assert_int_equal(entries_of(table, 101), 0);
	table_free(table);
}

/* No peer's entry stays for years. */
static void test_timeout(void **state)
{
	struct table *table = make_table(10);
	struct entry entry = make_entry(0, 1);

	(void)state;
	entry.timeout = UINT32_MAX;
	assert_int_equal(merge(table, &entry, (struct table_version){1, 1}, 0), TABLE_NEW);
	table_get(table, table_find(table, &entry.flow), &entry, NULL);
	assert_int_equal(entry.timeout, TABLE_TIMEOUT_MAX);
	entry.timeout = TABLE_TIMEOUT_MAX - 1;
	assert_int_equal(table_capture(table, &entry, 2, 0), TABLE_CHANGED);
	table_get(table, table_find(table, &entry.flow), &entry, NULL);
	assert_int_equal(entry.timeout, TABLE_TIMEOUT_MAX - 1);
	table_free(table);
}

/* Lists with few cells that hold do not keep the stale ones, however the other lists move. */
static void test_tidy(void **state)
{
	struct table *table = make_table(FLOWS);
	struct entry entry;
	uint64_t hlc = 1;

	(void)state;
	for (unsigned int i = 0; i < FLOWS; i++) {
		entry = make_entry(i, 1);
		assert_int_equal(table_capture(table, &entry, ++hlc, 0), TABLE_NEW);
	}
	/* So many changes that the journal's memory would not hold them untidied. */
	for (unsigned int i = 0; i < 200000; i++) {
		unsigned int last = FLOWS - 1 - i % 2;

		entry = make_entry(last, (uint16_t)(1 + i % 3));
		assert_int_equal(table_capture(table, &entry, ++hlc, 0), TABLE_CHANGED);
		entry = make_entry(0, 1);
		assert_int_equal(merge(table, &entry, (struct table_version){++hlc, 1}, 0),
				 TABLE_CHANGED);
	}
	assert_int_equal(table_list_count(table, TABLE_JOURNAL), FLOWS - 1);
	assert_int_equal(table_list_count(table, TABLE_INJECT), 1);
	for (unsigned int i = 1; i < FLOWS; i++) {
		struct table_reader reader;
		struct table_meta meta;
		table_ref ref;

		entry = make_entry(i, 1);
		table_get(table, table_find(table, &entry.flow), NULL, &meta);
		table_read(table, meta.position - 1, &reader);
		ref = table_read_next(table, &reader);
		assert_int_equal(ref, table_find(table, &entry.flow));
	}
	table_free(table);
}

static struct entry make_path(unsigned int client, uint8_t server)
{
	struct entry entry = make_entry(3 * client + 1, 1);

	entry.daddr[0] = server;
	return entry;
}

/* A binding is held as long as one entry takes it, and no longer. */
static void test_bindings(void **state)
{
	struct table_options options = {.self = SELF, .entries_max = 1000, .bindings_max = 3};
	uint64_t hlc = 1;
	struct table *table;
	struct entry entry, held;

	(void)state;
	assert_int_equal(table_new(&options, &table), 0);
	for (unsigned int i = 0; i < 90; i++) {
		entry = make_path(i, (uint8_t)(i % 3));
		entry.flow.template = 0;
		entry.flags = 0;
		assert_int_equal(table_capture(table, &entry, ++hlc, 0), TABLE_NEW);
	}
	/* A fourth real server is refused, for a new entry and for one that is held. */
	entry.daddr[0] = 9;
	assert_int_equal(table_capture(table, &entry, ++hlc, 0), TABLE_FULL);
	table_get(table, table_find(table, &entry.flow), &held, NULL);
	assert_int_equal(held.daddr[0], 89 % 3);
	entry.flow.cport = 999;
	assert_int_equal(merge(table, &entry, (struct table_version){1, 1}, 0), TABLE_FULL);
	assert_int_equal(table_count(table), 90);
	/* All of one real server go to another: there is room again after the last of them. */
	for (unsigned int i = 0; i < 90; i += 3) {
		assert_int_equal(table_capture(table, &entry, ++hlc, 0), TABLE_FULL);
		held = make_path(i, 1);
		held.flow.template = 0;
		held.flags = 0;
		assert_int_equal(table_capture(table, &held, ++hlc, 0), TABLE_CHANGED);
	}
	assert_int_equal(table_capture(table, &entry, ++hlc, 1000), TABLE_NEW);
	table_get(table, table_find(table, &entry.flow), &held, NULL);
	assert_int_equal(held.daddr[0], 9);
	/* And when what took them has expired. */
	assert_int_equal(table_sweep(table, 1000, 1000), 90);
	for (uint8_t i = 1; i < 3; i++) {
		entry = make_path(i, i);
		assert_int_equal(table_capture(table, &entry, ++hlc, 1000), TABLE_NEW);
	}
	entry = make_path(5, 5);
	assert_int_equal(table_capture(table, &entry, ++hlc, 1000), TABLE_FULL);
	table_free(table);
}

static void test_options(void **state)
{
	struct table *table = make_table(10);
	struct entry_options options = {.has_seq = true,
					.in = {1, 2, 3},
					.pe_name_len = 3,
					.pe_name = "sip",
					.pe_data_len = 2,
					.pe_data = "ab"};
	struct entry a = make_entry(0, 1), b, held;

	(void)state;
	assert_true(a.flow.template);
	a.options = &options;
	b = a;
	a.flow.pe_digest = entry_pe_digest(options.pe_data, options.pe_data_len);
	b.options = NULL;
	/* Two templates of one client that only the persistence engine tells apart. */
	assert_int_equal(table_capture(table, &a, 1, 0), TABLE_NEW);
	assert_int_equal(table_capture(table, &b, 2, 0), TABLE_NEW);
	table_get(table, table_find(table, &a.flow), &held, NULL);
	assert_memory_equal(held.options, &options, sizeof(options));
	table_get(table, table_find(table, &b.flow), &held, NULL);
	assert_null(held.options);
	table_free(table);
}

static void test_adopted(void **state)
{
	struct table *table = make_table(10);
	struct entry kernel = make_entry(1, 1), peer = kernel;
	struct table_meta meta;

	(void)state;
	assert_int_equal(table_adopt(table, &kernel, 0, TABLE_JOURNAL), TABLE_NEW);
	assert_int_equal(table_adopt(table, &kernel, 0, TABLE_JOURNAL), TABLE_STALE);
	/* The same real server: only the version is taken, and no injection is needed. */
	assert_int_equal(merge(table, &peer, (struct table_version){5, 1}, 0), TABLE_CHANGED);
	table_get(table, table_find(table, &peer.flow), NULL, &meta);
	assert_int_equal(meta.list, TABLE_IDLE);
	assert_int_equal(meta.version.hlc, 5);
	/* Another real server: the entry is injected. */
	kernel = make_entry(2, 1);
	peer = make_entry(2, 1);
	peer.daddr[1] = 9;
	table_adopt(table, &kernel, 0, TABLE_JOURNAL);
	assert_int_equal(merge(table, &peer, (struct table_version){5, 1}, 0), TABLE_CHANGED);
	table_get(table, table_find(table, &peer.flow), NULL, &meta);
	assert_int_equal(meta.list, TABLE_REPLACE);
	table_free(table);
}

static enum table_list list_of(const struct table *table, unsigned int i, uint64_t *ret_mark)
{
	struct entry entry = make_entry(i, 1);
	struct table_meta meta;

	table_get(table, table_find(table, &entry.flow), NULL, &meta);
	*ret_mark = meta.position;
	return meta.list;
}

/* A template that the kernel may hold with another real server differs until it was seen there. */
static void test_template(void **state)
{
	struct table *table = make_table(10);
	struct entry entry = make_entry(5, 1), other = make_entry(5, 2);
	uint64_t mark, hlc = 0;

	(void)state;
	assert_true(entry.flow.template && entry.daddr[0] != other.daddr[0]);
	/* It was never written. */
	assert_int_equal(merge(table, &entry, (struct table_version){++hlc, 1}, 0), TABLE_NEW);
	assert_int_equal(merge(table, &other, (struct table_version){++hlc, 1}, 0), TABLE_CHANGED);
	assert_int_equal(list_of(table, 5, &mark), TABLE_INJECT);
	table_list_move(table, table_find(table, &entry.flow), TABLE_UNCONFIRMED);
	assert_int_equal(merge(table, &other, (struct table_version){++hlc, 1}, 0), TABLE_CHANGED);
	assert_int_equal(list_of(table, 5, &mark), TABLE_INJECT);
	table_list_move(table, table_find(table, &entry.flow), TABLE_IDLE);
	assert_int_equal(merge(table, &entry, (struct table_version){++hlc, 1}, 0), TABLE_CHANGED);
	for (enum table_list list = TABLE_EVICT; list <= TABLE_UNSEEN; list++) {
		assert_int_equal(list_of(table, 5, &mark), list);
		assert_true(table_list_differs(list));
		/* The same again, and another one. */
		assert_int_equal(merge(table, &entry, (struct table_version){++hlc, 1}, 0),
				 TABLE_CHANGED);
		assert_int_equal(list_of(table, 5, &mark), list);
		assert_int_equal(merge(table, &other, (struct table_version){++hlc, 1}, 0),
				 TABLE_CHANGED);
		assert_int_equal(list_of(table, 5, &mark), TABLE_EVICT);
		assert_int_equal(merge(table, &entry, (struct table_version){++hlc, 1}, 0),
				 TABLE_CHANGED);
		if (list < TABLE_UNSEEN)
			table_list_move(table, table_find(table, &entry.flow), list + 1);
	}
	/* The kernel itself reports it. */
	assert_int_equal(table_capture(table, &entry, ++hlc, 0), TABLE_CHANGED);
	assert_int_equal(list_of(table, 5, &mark), TABLE_JOURNAL);
	assert_int_equal(merge(table, &other, (struct table_version){++hlc, 1}, 0), TABLE_CHANGED);
	assert_int_equal(list_of(table, 5, &mark), TABLE_EVICT);
	assert_false(table_list_differs(TABLE_UNCONFIRMED) || table_list_differs(TABLE_YOUNG));
	table_free(table);
}

/* An entry stamped in our earlier life belongs in our journal, as soon as the kernel has it. */
static void test_returned(void **state)
{
	struct table *table = make_table(10);
	struct entry entry = make_entry(0, 1);
	struct table_meta meta;
	uint64_t position;
	table_ref ref;

	(void)state;
	/* The kernel has had it all the time: the journal has its version from now on. */
	assert_int_equal(table_adopt(table, &entry, 0, TABLE_JOURNAL), TABLE_NEW);
	assert_int_equal(merge(table, &entry, (struct table_version){5, SELF}, 0), TABLE_CHANGED);
	assert_int_equal(list_of(table, 0, &position), TABLE_JOURNAL);
	assert_int_equal(position, 2);
	table_get(table, table_find(table, &entry.flow), NULL, &meta);
	assert_true(meta.returned && !meta.adopted);
	assert_int_equal(table_capture(table, &entry, 6, 0), TABLE_CHANGED);
	table_get(table, table_find(table, &entry.flow), NULL, &meta);
	assert_false(meta.returned);
	/* It does not have it. */
	entry = make_entry(1, 1);
	assert_int_equal(merge(table, &entry, (struct table_version){5, SELF}, 0), TABLE_NEW);
	assert_int_equal(list_of(table, 1, &position), TABLE_INJECT);
	table_mark_injected(table, table_find(table, &entry.flow));
	assert_int_equal(list_of(table, 1, &position), TABLE_JOURNAL);
	assert_int_equal(position, 4);
	/* Another's. */
	entry = make_entry(2, 1);
	assert_int_equal(merge(table, &entry, (struct table_version){5, 1}, 0), TABLE_NEW);
	ref = table_find(table, &entry.flow);
	table_mark_injected(table, ref);
	table_get(table, ref, NULL, &meta);
	assert_int_equal(meta.list, TABLE_IDLE);
	assert_false(meta.returned);
	table_free(table);
}

/* A withheld entry keeps its order and its mark, and is in no journal before it is published. */
static void test_withheld(void **state)
{
	struct table *table = make_table(10);
	struct table_meta meta;
	struct entry entry;
	uint64_t mark;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		entry = make_entry(i, 1);
		assert_int_equal(table_withhold(table, &entry, i + 1, 0, TABLE_YOUNG, 100 + i),
				 TABLE_NEW);
	}
	entry = make_entry(0, 2);
	assert_int_equal(table_withhold(table, &entry, 10, 0, TABLE_YOUNG, 200), TABLE_CHANGED);
	assert_int_equal(table_list_head(table, TABLE_YOUNG), table_find(table, &entry.flow));
	assert_int_equal(list_of(table, 0, &mark), TABLE_YOUNG);
	assert_int_equal(mark, 100);
	assert_int_equal(table_position(table), 0);

	table_publish(table, table_find(table, &entry.flow), 11);
	assert_int_equal(list_of(table, 0, &mark), TABLE_JOURNAL);
	table_get(table, table_find(table, &entry.flow), NULL, &meta);
	assert_int_equal(meta.version.hlc, 11);
	assert_int_equal(mark, 1);
	entry = make_entry(1, 2);
	assert_int_equal(table_capture(table, &entry, 11, 0), TABLE_CHANGED);
	assert_int_equal(list_of(table, 1, &mark), TABLE_JOURNAL);
	assert_int_equal(mark, 2);
	/* A peer's entry of a withheld flow is merged like any other. */
	entry = make_entry(2, 2);
	assert_int_equal(merge(table, &entry, (struct table_version){2, SELF}, 0), TABLE_STALE);
	assert_int_equal(merge(table, &entry, (struct table_version){20, 1}, 0), TABLE_CHANGED);
	assert_int_equal(list_of(table, 2, &mark), TABLE_REPLACE);
	assert_int_equal(table_list_count(table, TABLE_YOUNG), 0);
	/* Adopted ones too, and all of them may be forgotten. */
	entry = make_entry(3, 1);
	assert_int_equal(table_adopt(table, &entry, 0, TABLE_LOCAL), TABLE_NEW);
	table_drop(table, table_list_head(table, TABLE_LOCAL));
	assert_int_equal(table_find(table, &entry.flow), 0);
	assert_int_equal(table_count(table), 3);
	for (enum table_list list = 0; list < TABLE_LISTS; list++)
		assert_int_equal(table_list_shared(list), list != TABLE_YOUNG &&
								  list != TABLE_WAITING &&
								  list != TABLE_LOCAL);
	table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),    cmocka_unit_test(test_readers),
		cmocka_unit_test(test_sweep),    cmocka_unit_test(test_limits),
		cmocka_unit_test(test_options),  cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_bindings), cmocka_unit_test(test_returned),
		cmocka_unit_test(test_withheld), cmocka_unit_test(test_origins),
		cmocka_unit_test(test_timeout),  cmocka_unit_test(test_tidy),
		cmocka_unit_test(test_template),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
