/* memory.h - the steps of memory.pml, in C: part of the verifier that Spin makes of a model, and each of them one
 * indivisible step of it. `now` is the state. */

/* Said to the model, which fails. */
static enum { SOUND, RACE, TOO_SHORT, UNDECLARED } fault;

/* How a thread loads a word, in `reads`. */
enum { NOT_AT_ALL, BY_ANY, BY_SEQ_CST };

static inline int entry(int word, int n)
{
    return word * HISTORY + n;
}

static inline unsigned char *carried_by(int word, int n)
{
    return &now.carried[entry(word, n) * N_OBJECTS];
}

static inline unsigned char *view_of(int thread)
{
    return &now.view[thread * N_OBJECTS];
}

static void less(unsigned char *n, int by)
{
    *n = *n > by ? (unsigned char)(*n - by) : 0;
}

/* What no thread can read any more goes, and the rest is numbered from 0: states that differ only in it are one. */
static void forget(int object)
{
    int oldest = now.newest[object];
    for (int i = 0; i < N_THREADS; i++) {
        int how = now.reads[i * N_OBJECTS + object], from = view_of(i)[object];
        if (how == BY_SEQ_CST && now.newest_sc[object] > from)
            from = now.newest_sc[object];
        if (how != NOT_AT_ALL && from < oldest)
            oldest = from;
    }
    if (oldest == 0)
        return;
    less(&now.newest[object], oldest);
    for (int i = 0; i < N_THREADS; i++)
        less(&view_of(i)[object], oldest);
    for (int i = 0; i < N_ATOMICS * HISTORY; i++)
        less(&now.carried[i * N_OBJECTS + object], oldest);
    if (object >= N_ATOMICS)
        return;
    less(&now.newest_sc[object], oldest);
    less(&now.kernel[object], oldest);
    int left = HISTORY - oldest;
    memmove(&now.value[entry(object, 0)], &now.value[entry(object, oldest)], left);
    memmove(carried_by(object, 0), carried_by(object, oldest), left * N_OBJECTS);
    memset(&now.value[entry(object, left)], 0, oldest);
    memset(carried_by(object, left), 0, oldest * N_OBJECTS);
}

static void join_view(int thread, int word, int n)
{
    for (int i = 0; i < N_OBJECTS; i++)
        if (carried_by(word, n)[i] > view_of(thread)[i])
            view_of(thread)[i] = carried_by(word, n)[i];
}

static void read_entry(int thread, int word, int order, int n)
{
    view_of(thread)[word] = (unsigned char)n;
    if (order & 1)
        join_view(thread, word, n);
}

/* The value is there, and tells all that the thread would tell, and for a plain store nothing else: as if it had not
 * been stored again. */
static int changes_nothing(int thread, int word, int order, int value, int is_modified)
{
    int n = now.newest[word];
    if (value != now.value[entry(word, n)] || (order == 7 && now.newest_sc[word] != n))
        return 0;
    for (int i = 0; i < N_OBJECTS; i++) {
        int told = order & 2 ? view_of(thread)[i] : 0, before = carried_by(word, n)[i];
        if (i != word && (is_modified ? told > before : told != before))
            return 0;
    }
    return 1;
}

/* A new entry; what the one before carried goes on if `is_modified`. */
static void append(int thread, int word, int order, int value, int is_modified)
{
    int n = now.newest[word] + 1;
    if (changes_nothing(thread, word, order, value, is_modified)) {
        view_of(thread)[word] = now.newest[word];
        forget(word);
        return;
    }
    if (n >= HISTORY) {
        fault = TOO_SHORT;
        return;
    }
    now.newest[word] = (unsigned char)n;
    now.value[entry(word, n)] = (unsigned char)value;
    view_of(thread)[word] = (unsigned char)n;
    unsigned char *carried = carried_by(word, n), *before = carried_by(word, n - 1);
    for (int i = 0; i < N_OBJECTS; i++) {
        carried[i] = order & 2 ? view_of(thread)[i] : 0;
        if (is_modified && before[i] > carried[i])
            carried[i] = before[i];
    }
    carried[word] = (unsigned char)n;
    if (order == 7)
        now.newest_sc[word] = (unsigned char)n;
    forget(word);
}

static int load_entry(int thread, int word, int order, int age)
{
    int how = now.reads[thread * N_OBJECTS + word];
    if (how == NOT_AT_ALL || (how == BY_SEQ_CST && order != 7))
        fault = UNDECLARED;
    int n = now.newest[word] - age, value = now.value[entry(word, n)];
    read_entry(thread, word, order, n);
    for (int i = 0; i < N_OBJECTS; i++)
        forget(i); /* the view has moved */
    return value;
}

/* A read-modify-write reads the newest. */
static int read_newest(int thread, int word, int order)
{
    read_entry(thread, word, order, now.newest[word]);
    return now.value[entry(word, now.newest[word])];
}

static void futex_wake_all(int thread, int word)
{
    if (view_of(thread)[word] > now.kernel[word])
        now.kernel[word] = view_of(thread)[word];
    for (int i = 0; i < N_THREADS; i++)
        if (now.sleeps_on[i] == word + 1)
            now.sleeps_on[i] = 0;
}

static int races(int thread, int object)
{
    return view_of(thread)[object] != now.newest[object];
}

static void plain_put(int thread, int object, int value)
{
    if (races(thread, object))
        fault = RACE;
    now.plain[object - N_ATOMICS] = (unsigned char)value;
    view_of(thread)[object] = ++now.newest[object];
    forget(object);
}

static int plain_get(int thread, int object)
{
    if (races(thread, object))
        fault = RACE;
    return now.plain[object - N_ATOMICS];
}

/* What is plain holds no histories back. */
static void begin_memory(void)
{
    for (int i = 0; i < N_THREADS; i++)
        memset(&now.reads[i * N_OBJECTS + N_ATOMICS], 1, N_OBJECTS - N_ATOMICS);
}

/* The thread has ended: it holds nothing back. */
static void end_thread(int thread)
{
    memset(&now.reads[thread * N_OBJECTS], 0, N_OBJECTS);
    memset(view_of(thread), 0, N_OBJECTS);
    for (int i = 0; i < N_OBJECTS; i++)
        forget(i);
}
