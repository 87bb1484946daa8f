/* crowd PORT PATH VIEWERS: follow one path so often at once, to the end of all streams. On standard output: `ready`
 * once all have their heads; then, at the end, lines, p50, p99 and the longest of the seconds from a line's stamp to
 * here, of the oldest line of each read. A line begins with ~ and sixteen digits, microseconds of CLOCK_MONOTONIC; no
 * other ~ is in a body. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STAMP = 16, BINS = 1 << 20 };

struct viewer {
    int fd, head; /* how much of the blank line behind the head was seen; 4: all */
    int begun;    /* digits of a stamp that the last read began */
    long long stamp;
};

static unsigned delays[BINS]; /* by 20 microseconds */

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

static int bin_of(long long delay) {
    long long bin = delay < 0 ? 0 : delay / 20;
    return bin < BINS ? (int)bin : BINS - 1;
}

/* Skip what belongs to the head; returns where the body begins. */
static char *skip_head(struct viewer *viewer, char *place, char *end) {
    static const char blank[] = "\r\n\r\n";
    for (; viewer->head < 4 && place < end; place++)
        viewer->head = *place == blank[viewer->head] ? viewer->head + 1 : *place == '\r';
    return place;
}

/* Count the lines that begin here; returns the oldest stamp, 0 where there is none whole. */
static long long count(struct viewer *viewer, char *place, char *end, long *lines) {
    long long oldest = 0;
    while (place < end) {
        if (!viewer->begun) {
            place = memchr(place, '~', end - place);
            if (!place) break;
            ++*lines;
            if (oldest) {
                place++;
                continue;
            }
            viewer->begun = 1;
            viewer->stamp = 0;
            place++;
        }
        for (; viewer->begun <= STAMP && place < end; viewer->begun++, place++)
            viewer->stamp = viewer->stamp * 10 + (*place - '0');
        if (viewer->begun > STAMP) {
            oldest = oldest ? oldest : viewer->stamp;
            viewer->begun = 0;
        }
    }
    return oldest;
}

static void print_percentile(long long reads, double share) {
    long long seen = 0;
    int bin = 0;
    while (bin < BINS - 1 && (seen += delays[bin]) < reads * share) bin++;
    printf(" %.6f", bin * 20e-6);
}

int main(int argc, char **argv) {
    static char buffer[1 << 18];
    if (argc != 4) return 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(atoi(argv[1]))};
    int viewers = atoi(argv[3]), open = viewers, heads = 0;
    struct viewer *all = calloc(viewers, sizeof *all);
    int poll = epoll_create1(0);
    int size = snprintf(buffer, sizeof buffer,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", argv[2]);
    for (int i = 0; i < viewers; i++) {
        all[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(all[i].fd, (struct sockaddr *)&address, sizeof address)) return 1;
        if (write(all[i].fd, buffer, size) != size) return 1;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    long lines = 0;
    long long reads = 0;
    while (open) {
        struct epoll_event events[256];
        int found = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < found; i++) {
            struct viewer *viewer = events[i].data.ptr;
            ssize_t got = recv(viewer->fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (got <= 0) {
                close(viewer->fd);
                open--;
                continue;
            }
            int had_head = viewer->head == 4;
            char *body = skip_head(viewer, buffer, buffer + got);
            if (!had_head && viewer->head == 4 && ++heads == viewers) {
                puts("ready");
                fflush(stdout);
            }
            long long oldest = count(viewer, body, buffer + got, &lines);
            if (oldest) {
                delays[bin_of(now() - oldest)]++;
                reads++;
            }
        }
    }
    printf("%ld", lines);
    print_percentile(reads, 0.5);
    print_percentile(reads, 0.99);
    print_percentile(reads, 1);
    puts("");
    return 0;
}
