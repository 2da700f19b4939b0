// Preloaded before Mesa's drm-shim, whose devices finish all work at once but leave the counters of their timelines as they are: says that each is far ahead.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>

// DRM_IOCTL_SYNCOBJ_QUERY, and what it takes: the kernel's drm.h.
#define QUERY 0xCBu
struct timelines {
    uint64_t handles, points;
    uint32_t count, flags;
};

int ioctl(int file, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int (*next)(int, unsigned long, void *) = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    int result = next(file, request, argument);
    if (result == 0 && ((request >> 8) & 0xff) == 'd' && (request & 0xff) == QUERY) {
        struct timelines *asked = argument;
        for (uint32_t at = 0; at < asked->count; at++) ((uint64_t *)(uintptr_t)asked->points)[at] = (uint64_t)1 << 40;
    }
    return result;
}
