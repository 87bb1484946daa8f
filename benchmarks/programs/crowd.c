/* crowd PORT VIEWERS PATH…: so many viewers at once, who share the paths evenly. On standard output: `ready` once all
 * have their heads; at the end, in one line: lines, the CLOCK_MONOTONIC microseconds of the last read, the fewest and the
 * most lines of a viewer, p50, p95, p99 and the longest of the seconds from a line's stamp to here, of the oldest line of
 * each read, seconds of CPU, and viewers that had a head. On standard input: `?`, as often as one likes, which is answered
 * with reads, p50, p95, p99 and the longest since the last one; then the lines per viewer that were written. The end is
 * once all have so many, two seconds later in any case, when standard input ends, or when all streams have. A line begins
 * with ~ and sixteen digits, microseconds of CLOCK_MONOTONIC; no other ~ is in a body. */
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

enum { STAMP = 16, BINS = 1 << 20, GRACE = 2000000 };

struct viewer {
    int fd, head; /* how much of the blank line behind the head was seen; 4: all */
    int begun;    /* digits of a stamp that the last read began */
    long long stamp;
    long lines;
};

struct delays {
    unsigned bins[BINS]; /* by 20 microseconds */
    long long reads, longest;
};

static struct delays recent, all_delays; /* since the last question; before it */

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

static void note(long long delay) {
    long long bin = delay < 0 ? 0 : delay / 20;
    recent.bins[bin < BINS ? bin : BINS - 1]++;
    recent.reads++;
    if (delay > recent.longest) recent.longest = delay;
}

/* Count what is recent with all, and begin anew. */
static void close_window(void) {
    for (int bin = 0; bin < BINS; bin++) all_delays.bins[bin] += recent.bins[bin];
    all_delays.reads += recent.reads;
    if (recent.longest > all_delays.longest) all_delays.longest = recent.longest;
    memset(&recent, 0, sizeof recent);
}

/* Skip what belongs to the head; returns where the body begins. */
static char *skip_head(struct viewer *viewer, char *place, char *end) {
    static const char blank[] = "\r\n\r\n";
    for (; viewer->head < 4 && place < end; place++)
        viewer->head = *place == blank[viewer->head] ? viewer->head + 1 : *place == '\r';
    return place;
}

/* Count the lines that begin here; returns the oldest stamp, 0 where there is none whole. */
static long long count(struct viewer *viewer, char *place, char *end) {
    long long oldest = 0;
    while (place < end) {
        if (!viewer->begun) {
            place = memchr(place, '~', end - place);
            if (!place) break;
            place++;
            viewer->lines++;
            if (oldest) continue;
            viewer->begun = 1;
            viewer->stamp = 0;
        }
        for (; viewer->begun && viewer->begun <= STAMP && place < end; place++) {
            int digit = *place - '0';
            /* The border of a chunk may lie within a stamp: then this line is counted, but not timed. */
            viewer->begun = digit >= 0 && digit <= 9 ? viewer->begun + 1 : 0;
            viewer->stamp = viewer->stamp * 10 + digit;
        }
        if (viewer->begun > STAMP) {
            oldest = viewer->stamp;
            viewer->begun = 0;
        }
    }
    return oldest;
}

static void print_percentile(const struct delays *delays, double share) {
    long long seen = 0;
    int bin = 0;
    while (bin < BINS - 1 && (seen += delays->bins[bin]) < delays->reads * share) bin++;
    printf(" %.6f", bin * 20e-6);
}

static void print_delays(const struct delays *delays) {
    print_percentile(delays, 0.5);
    print_percentile(delays, 0.95);
    print_percentile(delays, 0.99);
    printf(" %.6f", delays->longest * 1e-6);
}

static void answer(void) {
    printf("%lld", recent.reads);
    print_delays(&recent);
    puts("");
    fflush(stdout);
    close_window();
}

static void tell(const struct viewer *all, int viewers, long lines, long long last, int heads) {
    long fewest = all[0].lines, most = all[0].lines;
    for (int i = 1; i < viewers; i++) {
        if (all[i].lines < fewest) fewest = all[i].lines;
        if (all[i].lines > most) most = all[i].lines;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld %lld %ld %ld", lines, last, fewest, most);
    close_window();
    print_delays(&all_delays);
    printf(" %.3f %d\n",
        usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6,
        heads);
}

static int join(struct viewer *viewer, int port, const char *path) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    char request[2048];
    ssize_t size = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n", path);
    viewer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(viewer->fd, (struct sockaddr *)&address, sizeof address) || write(viewer->fd, request, size) != size;
}

int main(int argc, char **argv) {
    static char buffer[1 << 18];
    if (argc < 4) return 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int viewers = atoi(argv[2]), open = viewers, heads = 0, poll = epoll_create1(0);
    struct viewer *all = calloc(viewers, sizeof *all);
    for (int i = 0; i < viewers; i++) {
        if (join(&all[i], atoi(argv[1]), argv[3 + i % (argc - 3)])) return 1;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    struct epoll_event told = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &told);
    long lines = 0, due = -1;
    long long last = now(), deadline = 0;
    while (open && (due < 0 || (lines < due && now() < deadline))) {
        struct epoll_event events[256];
        int found = epoll_wait(poll, events, 256, due < 0 ? -1 : 50);
        for (int i = 0; i < found; i++) {
            struct viewer *viewer = events[i].data.ptr;
            if (!viewer) {
                ssize_t got = read(0, buffer, 32);
                buffer[got > 0 ? got : 0] = 0;
                if (*buffer == '?') {
                    answer();
                    continue;
                }
                due = atol(buffer) * viewers;
                deadline = now() + GRACE;
                epoll_ctl(poll, EPOLL_CTL_DEL, 0, NULL);
                continue;
            }
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
            long had = viewer->lines;
            long long oldest = count(viewer, body, buffer + got);
            if (viewer->lines > had) {
                lines += viewer->lines - had;
                last = now();
                if (oldest) note(last - oldest);
            }
        }
    }
    tell(all, viewers, lines, last, heads);
    return 0;
}
