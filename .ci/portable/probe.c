/* Run on each system that can be had: its clocks, and the checksum by tables and by the processor. */
#include "_structures/platform.h"
#include "cmdlog/_journal.h"
#include <stdio.h>
#include <time.h>

static int failures;

static void expect(int holds, const char *what)
{
    if (!holds) {
        printf("probe: %s\n", what);
        failures++;
    }
}

static void probe_clocks(void)
{
    int64_t seconds = (int64_t)time(NULL), now_ns = jq_wall_ns(), before_ns = jq_mono_ns();
    int backwards = 0;
    expect(now_ns / 1000000000 - seconds <= 2 && seconds - now_ns / 1000000000 <= 2,
           "the wall clock is not the system's");
    for (int i = 0; i < 1000000; i++) {
        now_ns = jq_mono_ns();
        backwards += now_ns < before_ns;
        before_ns = now_ns;
    }
    expect(!backwards, "the monotonic clock went back");
}

static void probe_numbers(void)
{
    uint8_t bytes[8];
    jq_put64(bytes, 0x0123456789ABCDEFu);
    expect(bytes[0] == 0xEF && bytes[7] == 0x01, "numbers are not least byte first");
    expect(jq_get64(bytes) == 0x0123456789ABCDEFu, "a number does not come back");
}

static void probe_checksum(void)
{
    uint8_t data[300];
    jq_crc_start();
    expect(~jq_crc_portable(~0u, (const uint8_t *)"123456789", 9) == 0xE3069283u, "the checksum is not CRC-32C");
    for (size_t size = 0; size < sizeof data; size++) {
        data[size] = (uint8_t)(size * size + 7);
        expect(jq_crc(~0u, data, size) == jq_crc_portable(~0u, data, size), "two checksums of the same bytes");
    }
}

int main(void)
{
    probe_clocks();
    probe_numbers();
    probe_checksum();
    return failures != 0;
}
