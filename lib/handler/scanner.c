/* scanner.c - records against the patterns of all scanned subscriptions at once.
 *
 * A subscription's rule, a number in a ruleset, is what svl__filter_rule() says: necessary, so a record that no rule
 * names is wanted by nobody. Whoever is named, and whose filter admits the record, leaves with its position before it,
 * and reads the log itself from there; when it has seen everything it comes back, its rule still there.
 *
 *   C1  every record up to `position` that a scanned subscription wants lies at or before its own position.
 *   C2  a subscription joins only where its position is that of the scanner or further: what a turn under way has
 *       passed already is not its.
 *   C3  a turn reads and matches without the lock, and touches no subscription but with it.
 *
 * Whatever is not plain, a gap, damage, a record that is too much for a ruleset, is left to the subscriptions: all of
 * them leave there, and each says what it has to say. */
#include "scanner.h"

#include <serverlog/pattern.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "delivery.h"

/* Fewer read the log themselves: it costs about as much, and spares a hand-over. */
#define SHARED_MIN 4
/* A turn looks at so many ids, so that who is named does not wait for long. */
#define TURN_IDS 4096
#define RECORDS_AT_ONCE 256
#define RETRY_MS 10

struct scanner {
    struct handlers *handlers;
    svl_ruleset *rules;       /* NULL before there was a rule */
    svl_subscription **ruled; /* by rule; NULL: the number is free */
    size_t count, capacity;   /* numbers ever used */
    size_t free_count;        /* of these */
    size_t scanned;           /* subscriptions */
    uint64_t position;        /* C1 */
    uint64_t saved;           /* where the scanned ones' positions were written last */
    int64_t retry_ns;         /* short of memory: when to go on; 0: not */
    bool is_taken;            /* somebody has the turn */
};

/* One turn. */
struct turn {
    struct scanner *scanner;
    uint64_t *ids;   /* room for `capacity` rules */
    uint8_t *passed; /* by rule: whoever it is, he is not scanned any more */
    size_t capacity;
    uint64_t end; /* everything up to here was looked at */
};

int svl__scanner_create(struct handlers *h, struct scanner **out)
{
    *out = svl__calloc(1, sizeof **out);
    if (!*out)
        return SVL_E_NOMEM;
    (*out)->handlers = h;
    return SVL_OK;
}

void svl__scanner_destroy(struct scanner *scanner)
{
    if (!scanner)
        return;
    svl_ruleset_destroy(scanner->rules);
    svl__free(scanner->ruled);
    svl__free(scanner);
}

uint64_t svl__scanner_position(const svl_subscription *s)
{
    uint64_t position = s->is_scanned ? s->handlers->scanner->position : 0;
    return position > s->position ? position : s->position;
}

/* --- rules --- */

static bool make_room(struct scanner *scanner)
{
    if (scanner->count < scanner->capacity)
        return true;
    size_t capacity = scanner->capacity ? scanner->capacity * 2 : 64;
    svl_subscription **ruled = svl__realloc(scanner->ruled, capacity * sizeof *ruled);
    if (!ruled)
        return false;
    scanner->ruled = ruled;
    scanner->capacity = capacity;
    return true;
}

static size_t find_number(const struct scanner *scanner)
{
    for (size_t i = 0; scanner->free_count > 0 && i < scanner->count; i++)
        if (!scanner->ruled[i])
            return i;
    return scanner->count;
}

/* False: without memory, or a rule that there is no room for. */
static bool add_rule(struct scanner *scanner, svl_subscription *s)
{
    struct buffer text = { 0 };
    int rc = make_room(scanner) ? SVL_OK : SVL_E_NOMEM;
    if (rc == SVL_OK && !scanner->rules)
        rc = svl_ruleset_create(NULL, &scanner->rules);
    if (rc == SVL_OK)
        rc = svl__filter_rule(s->filter, &text);
    size_t number = find_number(scanner);
    if (rc == SVL_OK)
        rc = svl_ruleset_add(scanner->rules, number, (const char *)text.data, text.len, NULL);
    svl__buffer_free(&text);
    if (rc != SVL_OK)
        return false;
    scanner->free_count -= number < scanner->count;
    scanner->count += number == scanner->count;
    scanner->ruled[number] = s;
    s->rule = number + 1;
    return true;
}

/* --- who is scanned --- */

static bool may_be_scanned(const svl_subscription *s)
{
    const struct handlers *h = s->handlers;
    return s->state == SUBSCRIPTION_IDLE && !s->is_scanned && !s->pulls && !s->detached &&
           !s->paused && !s->dirty && s->redrive.count == 0 && h->started && !h->stopping &&
           h->pushing > SHARED_MIN;
}

static void join(svl_subscription *s)
{
    struct scanner *scanner = s->handlers->scanner;
    if (s->rule == 0 && !add_rule(scanner, s))
        return;
    s->redriving = false; /* at dead letters last: the position that moves now is the log's */
    s->is_scanned = true;
    scanner->scanned++;
    svl__alone_remove(s);
}

void svl__scanner_join(svl_subscription *s)
{
    struct scanner *scanner = s->handlers->scanner;
    if (!may_be_scanned(s) || s->position < s->handlers->durable_id)
        return;
    if (scanner->scanned == 0 && !scanner->is_taken)
        scanner->position = scanner->saved = s->handlers->durable_id;
    if (s->position >= scanner->position) /* C2 */
        join(s);
}

void svl__scanner_begin(struct handlers *h)
{
    struct scanner *scanner = h->scanner;
    uint64_t first = h->durable_id;
    for (svl_subscription *s = h->first; s; s = s->next)
        if (may_be_scanned(s) && s->position < first &&
            s->position + SHARED_IDS_MAX >= h->durable_id)
            first = s->position;
    scanner->position = scanner->saved = first;
    for (svl_subscription *s = h->first; s; s = s->next)
        if (may_be_scanned(s) && s->position >= first)
            join(s);
}

void svl__scanner_leave(svl_subscription *s)
{
    if (!s->is_scanned)
        return;
    uint64_t position = svl__scanner_position(s);
    s->is_scanned = false;
    s->handlers->scanner->scanned--;
    svl__alone_add(s);
    if (position > s->position)
        svl__set_position(s, position);
}

void svl__scanner_forget(svl_subscription *s)
{
    struct scanner *scanner = s->handlers->scanner;
    svl__scanner_leave(s);
    if (s->rule == 0)
        return;
    scanner->ruled[s->rule - 1] = NULL;
    scanner->free_count += svl_ruleset_remove(scanner->rules, s->rule - 1) == SVL_OK;
    s->rule = 0;
}

/* It has seen all up to `position`, and goes on by itself. */
static void send(svl_subscription *s, uint64_t position)
{
    svl__scanner_leave(s);
    if (position > s->position)
        svl__set_position(s, position);
    if (s->position < s->handlers->durable_id)
        svl__subscription_ready(s);
}

static void send_all(struct scanner *scanner)
{
    for (size_t i = 0; i < scanner->count; i++)
        if (scanner->ruled[i] && scanner->ruled[i]->is_scanned)
            send(scanner->ruled[i], scanner->position);
}

/* --- a turn --- */

int64_t svl__scanner_due_ns(const struct scanner *scanner)
{
    const struct handlers *h = scanner->handlers;
    if (scanner->is_taken || scanner->scanned == 0 || scanner->position >= h->durable_id)
        return INT64_MAX;
    return scanner->retry_ns;
}

bool svl__scanner_is_done(const struct scanner *scanner, uint64_t upto)
{
    return scanner->scanned == 0 || scanner->position >= upto;
}

/* A rule has named a record: C3. */
static void tell(struct turn *t, size_t number, const svl_record *record)
{
    struct scanner *scanner = t->scanner;
    struct handlers *h = scanner->handlers;
    if (t->passed[number])
        return;
    pthread_mutex_lock(&h->lock);
    svl_subscription *s = scanner->ruled[number];
    if (s && s->is_scanned && record->id > s->position && svl__filter_admits(s->filter, record))
        send(s, record->id - 1);
    t->passed[number] = !s || !s->is_scanned;
    pthread_mutex_unlock(&h->lock);
}

/* SVL_E_AGAIN: more rules than there is room for, some have come since. */
static int look_at(struct turn *t, const svl_record *record)
{
    size_t n;
    int rc = svl_ruleset_match_record(t->scanner->rules, record, 0, t->ids, t->capacity, &n);
    if (rc != SVL_OK)
        return rc;
    if (n > t->capacity)
        return SVL_E_AGAIN;
    for (size_t i = 0; i < n; i++)
        if (t->ids[i] < t->capacity)
            tell(t, t->ids[i], record);
    t->end = record->id;
    return SVL_OK;
}

static int look_through(struct turn *t, svl_cursor *cursor)
{
    const svl_record *records;
    size_t n;
    int rc;
    while ((rc = svl_cursor_next_many(cursor, 0, RECORDS_AT_ONCE, &records, &n)) == SVL_OK)
        for (size_t i = 0; i < n; i++) {
            rc = look_at(t, &records[i]);
            if (rc != SVL_OK)
                return rc;
        }
    return rc;
}

/* SVL_OK: the turn's part of the log was plain. */
static int scan(struct turn *t, uint64_t upto)
{
    svl_store *store = t->scanner->handlers->options.store;
    svl_query query;
    svl_cursor *cursor;
    svl_query_init(&query, sizeof query);
    query.id_min = t->end + 1;
    query.id_max = upto;
    int rc = svl__store_query_selected(store, &query, NULL, &cursor);
    if (rc != SVL_OK)
        return rc;
    /* Retired; asked when the cursor holds what is left: nothing goes between the two. */
    rc = svl__store_first_id(store) > t->end + 1 ? SVL_E_NOT_FOUND : look_through(t, cursor);
    svl_cursor_close(cursor);
    if (rc != SVL_E_END)
        return rc;
    t->end = upto;
    return SVL_OK;
}

/* What a crash would make them look at again is bounded. One that cannot be written is with the next ones. */
static void save(struct scanner *scanner)
{
    if (scanner->position - scanner->saved < SHARED_IDS_MAX)
        return;
    scanner->saved = scanner->position;
    for (size_t i = 0; i < scanner->count; i++) {
        svl_subscription *s = scanner->ruled[i];
        if (s && s->is_scanned && s->name)
            svl__progress_save(s, false, NULL);
    }
}

static bool begin_turn(struct scanner *scanner, struct turn *t)
{
    size_t n = scanner->count;
    *t = (struct turn){ .scanner = scanner,
                        .ids = svl__malloc(n * sizeof *t->ids),
                        .passed = svl__calloc(n, 1),
                        .capacity = n,
                        .end = scanner->position };
    return t->ids && t->passed;
}

static void end_turn(struct turn *t, int rc)
{
    struct scanner *scanner = t->scanner;
    scanner->position = t->end;
    scanner->retry_ns = rc == SVL_E_NOMEM ? svl__deadline_ns(RETRY_MS) : 0;
    if (rc != SVL_OK && rc != SVL_E_NOMEM && rc != SVL_E_AGAIN)
        send_all(scanner);
    save(scanner);
    svl__free(t->ids);
    svl__free(t->passed);
    pthread_cond_broadcast(&scanner->handlers->changed);
}

bool svl__scanner_turn(struct scanner *scanner)
{
    struct handlers *h = scanner->handlers;
    int64_t due_ns = svl__scanner_due_ns(scanner);
    if (due_ns == INT64_MAX || (due_ns != 0 && due_ns > svl__monotonic_ns()))
        return false;
    uint64_t upto = h->durable_id;
    if (upto - scanner->position > TURN_IDS)
        upto = scanner->position + TURN_IDS;
    struct turn t;
    int rc = SVL_E_NOMEM;
    bool begun = begin_turn(scanner, &t);
    scanner->is_taken = true;
    pthread_mutex_unlock(&h->lock);
    if (begun)
        rc = scan(&t, upto);
    pthread_mutex_lock(&h->lock);
    scanner->is_taken = false;
    end_turn(&t, rc);
    return true;
}
