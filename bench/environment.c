/* environment.c - CPU, kernel, file system, from /proc and /sys. */
#define _GNU_SOURCE
#include "environment.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What follows `prefix` (and a colon) in the first line that starts with it. */
static void first_line(const char *path, const char *prefix, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    char line[256];
    snprintf(out, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        char *colon = *prefix ? strchr(line, ':') : NULL;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%.*s", (int)size - 1, colon ? colon + 2 : line);
        break;
    }
    if (f)
        fclose(f);
}

static void name_file_system(const char *directory, char *out, size_t size)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } known[] = { { 0xef53, "ext4" },      { 0x58465342, "xfs" },     { 0x9123683e, "btrfs" },
                  { 0x01021994, "tmpfs" }, { 0x794c7630, "overlay" }, { 0xf2f52010, "f2fs" },
                  { 0x2fc12fc1, "zfs" } };
    struct statfs st;
    snprintf(out, size, "unknown");
    if (statfs(directory, &st) != 0)
        return;
    snprintf(out, size, "type 0x%lx", (unsigned long)st.f_type);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].magic == (unsigned long)st.f_type)
            snprintf(out, size, "%s", known[i].name);
}

void environment_get(const char *directory, struct environment *out)
{
    struct utsname system;
    first_line("/proc/cpuinfo", "model name", out->cpu, sizeof out->cpu);
    out->cores = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(out->kernel, sizeof out->kernel, "%s",
             uname(&system) == 0 ? system.release : "unknown");
    first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", out->governor,
               sizeof out->governor);
    name_file_system(directory, out->file_system, sizeof out->file_system);
    first_line("/proc/loadavg", "", out->load, sizeof out->load);
    out->load[strcspn(out->load, " ")] = 0;
}
