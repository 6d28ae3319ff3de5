/* Runs one kernel, translated from PTX, thread by thread; every access to memory is looked at.

   A thread is a context of its own, which waits at barriers. A word of memory remembers who wrote and read it last:
   two accesses race where they are by different threads, one of them writes, not both are atomic, and no barrier of
   their block lies between them. A word is as long as the elements of its array, four bytes at most. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

typedef struct { int32_t thread, epoch; int8_t atomic; } Access;
typedef struct { Access write, read, reader; } Word;
typedef struct { uint64_t start, size, unit; uint8_t *known; Word *words; uint8_t *loaded, *stored; } Region;
enum { RACE, OUTSIDE, UNKNOWN, BARRIER, CALL, KINDS };
enum { LOAD, STORE, ATOMIC };

static Region *regions;
static int region_count, thread, block, epoch, per_block, waiting;
static int64_t faults[KINDS];
static uint32_t tid[3], ctaid[3], ntid[3], nctaid[3];
static uint64_t *params;
static ucontext_t scheduler, contexts[1024];
static uint8_t scratch[16];
static _Alignas(16) uint8_t shared[SHARED + 16];
static const _Alignas(16) uint8_t tables[] = {TABLES};

static int ordered(Access a) {
    return a.thread < 0 || a.thread == thread || (a.thread / per_block == block && a.epoch < epoch);
}

static void look(Region *r, uint64_t word, int kind) {
    Word *w = &r->words[word];
    Access now = {thread, epoch, kind == ATOMIC};
    if (!ordered(w->write) && !(w->write.atomic && kind == ATOMIC)) faults[RACE]++;
    if (kind != LOAD && (!ordered(w->read) || !ordered(w->reader)) && !(kind == ATOMIC && w->read.atomic)) faults[RACE]++;
    if (kind != STORE && r->known && !r->known[word]) faults[UNKNOWN]++;
    if (kind != LOAD && r->known) r->known[word] = 1;
    if (kind == LOAD) {
        if (w->read.thread != thread) w->reader = w->read;
        w->read = now;
    } else {
        w->write = now;
    }
    if (kind != STORE && !r->stored[word]) r->loaded[word] = 1;
    if (kind != LOAD) r->stored[word] = 1;
}

static void *at(uint64_t address, uint64_t size, int kind) {
    for (int k = 0; k < region_count; k++) {
        Region *r = &regions[k];
        if (address < r->start || address + size > r->start + r->size) continue;
        uint64_t first = address - r->start;
        for (uint64_t w = first / r->unit; w <= (first + size - 1) / r->unit; w++) look(r, w, kind);
        return (void *)address;
    }
    if (kind == LOAD && address >= (uint64_t)tables && address + size <= (uint64_t)tables + sizeof tables) return (void *)address;
    faults[OUTSIDE]++;
    return memset(scratch, 0, sizeof scratch);
}

static void call(void) { faults[CALL]++; }

static void barrier(void) {
    waiting++;
    swapcontext(&contexts[thread % per_block], &scheduler);
}

#define LOADED(T, address) (*(T *)at(address, sizeof(T), LOAD))
#define STORED(T, address, value) (*(T *)at(address, sizeof(T), STORE) = (T)(value))
#define ADDED(T, address, value) ({ T *p = at(address, sizeof(T), ATOMIC); T old = *p; *p = old + (T)(value); old; })
#define LARGER(T, address, value) ({ T *p = at(address, sizeof(T), ATOMIC); T old = *p, v = (T)(value); if (v > old) *p = v; old; })
#define SWAPPED(T, address, expected, value) \
    ({ T *p = at(address, sizeof(T), ATOMIC); T old = *p; if (old == (T)(expected)) *p = (T)(value); old; })
#define BITS(T, value) ({ __typeof__(value) from = (value); T to; memcpy(&to, &from, sizeof to); to; })

static void body(void);

static void place(int within, int at_block) {
    thread = at_block * per_block + within;
    tid[0] = within % ntid[0], tid[1] = within / ntid[0] % ntid[1], tid[2] = within / ntid[0] / ntid[1];
}

static void run_block(const int32_t *order) {
    static char *stacks[1024];
    static uint8_t alive[1024];
    int left = per_block;
    for (int k = 0; k < per_block; k++) {
        if (!stacks[k]) stacks[k] = malloc(1 << 16);
        getcontext(&contexts[k]);
        contexts[k].uc_stack.ss_sp = stacks[k], contexts[k].uc_stack.ss_size = 1 << 16, contexts[k].uc_link = &scheduler;
        makecontext(&contexts[k], body, 0);
        alive[k] = 1;
    }
    for (epoch = 0; left; epoch++) {
        int ended = per_block - left, reached = 0;
        for (int k = 0; k < per_block; k++) {
            if (!alive[order[k]]) continue;
            waiting = 0;
            place(order[k], block);
            swapcontext(&scheduler, &contexts[order[k]]);
            if (waiting) reached++;
            else alive[order[k]] = 0, left--;
        }
        if (reached && (ended || reached < per_block)) faults[BARRIER]++;
    }
}

int64_t *launch(Region *given, int count, uint64_t *arguments, const uint32_t *grid, const uint32_t *threads,
                const int32_t *order, const int32_t *blocks) {
    static uint8_t known[SHARED / 4 + 4], loaded[SHARED / 4 + 4], stored[SHARED / 4 + 4];
    static Word words[SHARED / 4 + 4];
    memset(faults, 0, sizeof faults);
    regions = given, region_count = count, params = arguments;
    memcpy(nctaid, grid, sizeof nctaid), memcpy(ntid, threads, sizeof ntid);
    per_block = ntid[0] * ntid[1] * ntid[2];
    int total = grid[0] * grid[1] * grid[2];
    regions[count - 1] = (Region){(uint64_t)shared, SHARED, 4, known, words, loaded, stored};
    for (int k = 0; k < total; k++) {
        block = blocks[k];
        ctaid[0] = block % grid[0], ctaid[1] = block / grid[0] % grid[1], ctaid[2] = block / grid[0] / grid[1];
        memset(known, 0, sizeof known), memset(shared, 0xff, SHARED), memset(words, 0xff, sizeof words);
        run_block(order);
    }
    return faults;
}
