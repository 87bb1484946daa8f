/* receive PORT PATH: ask this machine's server for a path, read the answer to its end, print its seconds. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    static char buffer[1 << 20];
    if (argc != 3) return 2;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(atoi(argv[1]))};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    double before = now();
    if (connect(server, (struct sockaddr *)&address, sizeof address)) return 1;
    int size = snprintf(buffer, sizeof buffer,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", argv[2]);
    if (write(server, buffer, size) != size) return 1;
    while (recv(server, buffer, sizeof buffer, 0) > 0) {
    }
    printf("%f\n", now() - before);
    return 0;
}
