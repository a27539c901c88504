#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "processors.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

static int affinity_count(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

/* Reads up to two numbers of a file; returns how many there were ("max" is none). */
static int read_numbers(const char *path, double numbers[2])
{
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    char line[64];
    int count = 0;
    for (char *place = fgets(line, sizeof line, file), *end; place && count < 2; place = end, count++) {
        numbers[count] = strtod(place, &end);
        if (end == place)
            break;
    }
    (void)fclose(file);
    return count;
}

/* Processors that the control group's quota amounts to; 0: no limit. */
static double quota(void)
{
    double v2[2], allowed[2], period[2];
    if (read_numbers("/sys/fs/cgroup/cpu.max", v2) == 2 && v2[0] > 0 && v2[1] > 0)
        return v2[0] / v2[1];
    if (read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", allowed) >= 1 && allowed[0] > 0 &&
        read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period) >= 1 && period[0] > 0)
        return allowed[0] / period[0];
    return 0;
}

int hn_processors_available(void)
{
    int count = affinity_count();
    double limit = quota();
    if (limit > 0 && limit < count)
        count = (int)limit + (limit > (int)limit);
    return count > 1 ? count : 1;
}
