/* slots.c - a table of waiters. One mutex: whoever comes here is about to wait for a disk. */
#include "slots.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_FED, SLOT_DONE, SLOT_DROPPED, SLOT_FAILED };

struct slot {
    enum slot_state state;
    bool abandoned;
    uint32_t generation;
    uint32_t next; /* free list */
    uint64_t id;
    uint64_t ticket;
    pthread_cond_t changed;
};

struct slots {
    pthread_mutex_t lock;
    uint32_t first_free; /* number, 0 = none */
    uint32_t fed[SLOTS]; /* numbers of the slots in SLOT_FED */
    uint32_t fed_count;
    bool failed;
    struct slot slots[SLOTS];
};

int svl__slots_create(struct slots **out)
{
    *out = NULL;
    struct slots *slots = svl__calloc(1, sizeof *slots);
    if (!slots)
        return SVL_E_NOMEM;
    pthread_mutex_init(&slots->lock, NULL);
    for (uint32_t number = SLOTS; number > 0; number--) {
        struct slot *slot = &slots->slots[number - 1];
        svl__cond_init(&slot->changed);
        slot->next = slots->first_free;
        slots->first_free = number;
    }
    *out = slots;
    return SVL_OK;
}

void svl__slots_destroy(struct slots *slots)
{
    if (!slots)
        return;
    for (uint32_t i = 0; i < SLOTS; i++)
        pthread_cond_destroy(&slots->slots[i].changed);
    pthread_mutex_destroy(&slots->lock);
    svl__free(slots);
}

static void free_slot(struct slots *slots, uint32_t number)
{
    struct slot *slot = &slots->slots[number - 1];
    slot->state = SLOT_FREE;
    slot->abandoned = false;
    slot->generation++;
    slot->next = slots->first_free;
    slots->first_free = number;
}

bool svl__slots_take(struct slots *slots, struct slot_tag *tag)
{
    pthread_mutex_lock(&slots->lock);
    uint32_t number = slots->first_free;
    if (number != 0) {
        struct slot *slot = &slots->slots[number - 1];
        slots->first_free = slot->next;
        slot->state = slots->failed ? SLOT_FAILED : SLOT_WAITING;
        *tag = (struct slot_tag){ number, slot->generation };
    }
    pthread_mutex_unlock(&slots->lock);
    return number != 0;
}

void svl__slots_give_back(struct slots *slots, struct slot_tag tag)
{
    pthread_mutex_lock(&slots->lock);
    free_slot(slots, tag.number);
    pthread_mutex_unlock(&slots->lock);
}

/* `lock` held: the outcome is there. False: nobody is to be told, as the slot was abandoned. */
static bool conclude(struct slots *slots, uint32_t number, enum slot_state state)
{
    struct slot *slot = &slots->slots[number - 1];
    if (slot->abandoned) {
        free_slot(slots, number);
        return false;
    }
    slot->state = state;
    return true;
}

/* `lock` held. */
static void settle(struct slots *slots, uint32_t number, enum slot_state state)
{
    if (conclude(slots, number, state))
        pthread_cond_signal(&slots->slots[number - 1].changed);
}

int svl__slots_wait(struct slots *slots, struct slot_tag tag, int64_t deadline_ns, uint64_t *id)
{
    struct slot *slot = &slots->slots[tag.number - 1];
    int rc = SVL_OK;
    *id = 0;
    pthread_mutex_lock(&slots->lock);
    while (slot->state == SLOT_WAITING || slot->state == SLOT_FED)
        if (!svl__cond_wait(&slot->changed, &slots->lock, deadline_ns))
            break;
    if (slot->state == SLOT_WAITING || slot->state == SLOT_FED) {
        slot->abandoned = true;
        rc = SVL_E_TIMEOUT;
    } else {
        if (slot->state == SLOT_DONE)
            *id = slot->id;
        else
            rc = slot->state == SLOT_DROPPED ? SVL_E_DROPPED : SVL_E_FAILED;
        free_slot(slots, tag.number);
    }
    pthread_mutex_unlock(&slots->lock);
    return rc;
}

/* The waiting slot of a tag; NULL for a tag of nobody, or of another life (a recovered record). */
static struct slot *find(struct slots *slots, struct slot_tag tag)
{
    if (tag.number == 0 || tag.number > SLOTS)
        return NULL;
    struct slot *slot = &slots->slots[tag.number - 1];
    return slot->generation == tag.generation && slot->state == SLOT_WAITING ? slot : NULL;
}

void svl__slots_fed(struct slots *slots, struct slot_tag tag, uint64_t id, uint64_t ticket)
{
    pthread_mutex_lock(&slots->lock);
    struct slot *slot = find(slots, tag);
    if (slot) {
        slot->state = SLOT_FED;
        slot->id = id;
        slot->ticket = ticket;
        slots->fed[slots->fed_count++] = tag.number;
    }
    pthread_mutex_unlock(&slots->lock);
}

void svl__slots_dropped(struct slots *slots, struct slot_tag tag)
{
    pthread_mutex_lock(&slots->lock);
    if (find(slots, tag))
        settle(slots, tag.number, SLOT_DROPPED);
    pthread_mutex_unlock(&slots->lock);
}

/* Whoever is woken takes the lock, so they are woken without it; a slot that has another one meanwhile wakes him for
 * nothing. */
void svl__slots_durable(struct slots *slots, uint64_t ticket)
{
    uint32_t done[SLOTS], done_count = 0, kept = 0;
    pthread_mutex_lock(&slots->lock);
    for (uint32_t i = 0; i < slots->fed_count; i++) {
        uint32_t number = slots->fed[i];
        if (slots->slots[number - 1].ticket > ticket)
            slots->fed[kept++] = number;
        else if (conclude(slots, number, SLOT_DONE))
            done[done_count++] = number;
    }
    slots->fed_count = kept;
    pthread_mutex_unlock(&slots->lock);
    for (uint32_t i = 0; i < done_count; i++)
        pthread_cond_signal(&slots->slots[done[i] - 1].changed);
}

void svl__slots_fail(struct slots *slots)
{
    pthread_mutex_lock(&slots->lock);
    slots->failed = true;
    slots->fed_count = 0;
    for (uint32_t number = 1; number <= SLOTS; number++) {
        enum slot_state state = slots->slots[number - 1].state;
        if (state == SLOT_WAITING || state == SLOT_FED)
            settle(slots, number, SLOT_FAILED);
    }
    pthread_mutex_unlock(&slots->lock);
}
