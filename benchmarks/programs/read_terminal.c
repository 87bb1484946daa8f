/* read_terminal COMMAND…: run it behind a pseudo-terminal, read its output, throw it away. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static char buffer[65536];
    if (argc < 2) return 2;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) || unlockpt(master)) return 1;
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0) return 1;
    struct termios mode;
    tcgetattr(slave, &mode);
    mode.c_oflag = 0;
    tcsetattr(slave, TCSANOW, &mode);
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        dup2(slave, 1);
        dup2(slave, 2);
        close(slave);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    close(slave);
    while (read(master, buffer, sizeof buffer) > 0) {
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
