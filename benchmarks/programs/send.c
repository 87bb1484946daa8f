/* send PORT FEED: the least that can be done. Lines that come through the Unix socket FEED are framed once, as the same
 * events that Outlive sends, kept, and sent to all who are connected to PORT; who can take no more now is a place in
 * what is kept, and goes on from there. One loop, no threads. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { VIEWERS = 1 << 16 };
static const size_t LOG = 1L << 34; /* of addresses; of memory as much as is written */
static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";

static char *log_;
static size_t size, sent[VIEWERS]; /* by descriptor: the place, 0 before the head */
static int present[VIEWERS], many; /* descriptors */
static long number;

static void leave(int fd) {
    for (int i = 0; i < many; i++)
        if (present[i] == fd) {
            present[i] = present[--many];
            break;
        }
    close(fd);
}

/* Send what a viewer has not yet; its socket takes less than that when it is full. */
static void catch_up(int fd) {
    while (sent[fd] < size) {
        ssize_t took = send(fd, log_ + sent[fd], size - sent[fd], MSG_DONTWAIT | MSG_NOSIGNAL);
        if (took < 0) return; /* full: there will be an event; gone: as well */
        sent[fd] += took;
    }
}

static void frame(const char *line, size_t length) {
    memcpy(log_ + size, "data: ", 6);
    memcpy(log_ + size + 6, line, length);
    size += 6 + length;
    size += sprintf(log_ + size, "\nid: 0123456789abcdef0123-%026ld\n\n", ++number);
}

/* Take lines over; the rest of a cut one waits in the buffer. */
static int take(int fd) {
    static char buffer[1 << 17];
    static size_t filled;
    ssize_t got = recv(fd, buffer + filled, sizeof buffer - filled, 0);
    if (got <= 0) return 0;
    char *begin = buffer, *end = buffer + filled + got, *found;
    while ((found = memchr(begin, '\n', end - begin))) {
        frame(begin, found - begin);
        begin = found + 1;
    }
    filled = end - begin;
    memmove(buffer, begin, filled);
    for (int i = 0; i < many; i++) catch_up(present[i]);
    return 1;
}

static int listen_at(const struct sockaddr *address, socklen_t length) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, address, length) || listen(fd, 4096)) exit(1);
    return fd;
}

static void answer(int fd) {
    char request[4096];
    ssize_t got = recv(fd, request, sizeof request, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return leave(fd);
    if (got > 0 && !sent[fd]) {
        /* An empty socket takes a head whole. The log begins with a byte that nobody gets. */
        if (send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL) < 0) return leave(fd);
        sent[fd] = 1;
        present[many++] = fd;
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    log_ = mmap(NULL, LOG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size = 1;
    struct sockaddr_un feed = {.sun_family = AF_UNIX};
    strncpy(feed.sun_path, argv[2], sizeof feed.sun_path - 1);
    struct sockaddr_in site = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(atoi(argv[1]))};
    int feeds = listen_at((struct sockaddr *)&feed, sizeof feed), feeder = -1;
    int sites = listen_at((struct sockaddr *)&site, sizeof site), poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    event.data.fd = feeds;
    epoll_ctl(poll, EPOLL_CTL_ADD, feeds, &event);
    event.data.fd = sites;
    epoll_ctl(poll, EPOLL_CTL_ADD, sites, &event);
    for (;;) {
        struct epoll_event events[256];
        int found = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < found; i++) {
            int fd = events[i].data.fd;
            if (fd == feeds || fd == sites) {
                int one = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
                if (one < 0 || one >= VIEWERS) continue;
                if (fd == feeds) feeder = one;
                sent[one] = 0;
                event.events = fd == feeds ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
                event.data.fd = one;
                epoll_ctl(poll, EPOLL_CTL_ADD, one, &event);
            } else if (fd == feeder) {
                if (!take(fd)) close(fd);
            } else {
                if (events[i].events & ~EPOLLOUT) answer(fd);
                if (sent[fd]) catch_up(fd);
            }
        }
    }
}
