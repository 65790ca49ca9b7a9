/*
 * Linked into a program, measures what it takes and says it when the program ends, as
 *
 *     memory: heap 300000 octets at most
 *     memory: stack of the first thread 9000 octets
 *     memory: stack of another thread 20000 octets
 *     memory: threads 3 at most
 *
 * The heap is what malloc and its kin have given, in the sizes that they round to, to the program,
 * its libraries and the C library. A stack is painted when its thread starts, and what is no
 * longer paint when it ends was used; where the stack of a thread holds its thread-local storage,
 * that counts. Of glibc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* glibc's own, under the names that programs which replace malloc may call. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *old);

static atomic_size_t heap_now, heap_most;
static atomic_int threads_now = 1, threads_most = 1;

static void raise_to(atomic_size_t *most, size_t value)
{
    size_t before = atomic_load(most);
    while (before < value && !atomic_compare_exchange_weak(most, &before, value)) { }
}

static void *given(void *block)
{
    size_t size = malloc_usable_size(block);
    raise_to(&heap_most, atomic_fetch_add(&heap_now, size) + size);
    return block;
}

static void taken(void *block)
{
    atomic_fetch_sub(&heap_now, malloc_usable_size(block));
}

void *malloc(size_t size)
{
    return given(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return given(__libc_calloc(count, size));
}

void *memalign(size_t align, size_t size)
{
    return given(__libc_memalign(align, size));
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **place, size_t align, size_t size)
{
    void *block = memalign(align, size);
    if (block == NULL)
        return ENOMEM;
    *place = block;
    return 0;
}

void *realloc(void *old, size_t size)
{
    size_t before = malloc_usable_size(old);
    void *block = __libc_realloc(old, size);
    if (block == NULL && size > 0)
        return NULL;
    /* Where it had to move, old and new were there at once for a moment. */
    if (block != old)
        raise_to(&heap_most, atomic_load(&heap_now) + malloc_usable_size(block));
    atomic_fetch_sub(&heap_now, before);
    return given(block);
}

void free(void *old)
{
    taken(old);
    __libc_free(old);
}

#define PAINT 0xa5
/* Painted of the first thread's stack; of the others' all. */
#define FIRST_STACK (256u << 10)
/* Below the caller's frame: the frame of what paints, with what it may call. */
#define FRAME 512

struct stack {
    volatile unsigned char *lowest;
    unsigned char *top;
};

__attribute__((noinline)) static void paint(struct stack *stack)
{
    volatile unsigned char *at = (unsigned char *)__builtin_frame_address(0) - FRAME;
    while (at > stack->lowest)
        *--at = PAINT;
}

static size_t used(const struct stack *stack)
{
    volatile unsigned char *at = stack->lowest;
    while (at < stack->top && *at == PAINT)
        at++;
    return (size_t)(stack->top - at);
}

struct start {
    void *(*run)(void *);
    void *argument;
};

static void *run_painted(void *argument)
{
    struct start start = *(struct start *)argument;
    pthread_attr_t attributes;
    struct stack stack;
    size_t size;
    void *lowest, *result;

    free(argument);
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        abort();
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_destroy(&attributes);
    stack.lowest = lowest;
    stack.top = (unsigned char *)lowest + size;
    paint(&stack);
    result = start.run(start.argument);
    printf("memory: stack of another thread %zu octets\n", used(&stack));
    atomic_fetch_sub(&threads_now, 1);
    return result;
}

int pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    struct start *start = malloc(sizeof *start);
    int now = atomic_fetch_add(&threads_now, 1) + 1, most = atomic_load(&threads_most), code;

    if (create == NULL)
        *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    if (create == NULL || start == NULL)
        abort();
    while (most < now && !atomic_compare_exchange_weak(&threads_most, &most, now)) { }
    start->run = run;
    start->argument = argument;
    code = create(id, attributes, run_painted, start);
    if (code != 0) {
        atomic_fetch_sub(&threads_now, 1);
        free(start);
    }
    return code;
}

static struct stack first;

__attribute__((constructor)) static void begin(void)
{
    first.top = __builtin_frame_address(0);
    first.lowest = first.top - FIRST_STACK;
    paint(&first);
}

__attribute__((destructor)) static void end(void)
{
    printf("memory: stack of the first thread %zu octets\n", used(&first));
    printf("memory: heap %zu octets at most\n", atomic_load(&heap_most));
    printf("memory: threads %d at most\n", atomic_load(&threads_most));
}
