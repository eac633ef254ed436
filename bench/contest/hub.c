/* The yardstick: a hub that does as little as a hub can. Usage: hub PORT echo|broadcast
 *
 * One turn reads every ready client once. In broadcast mode what all of them sent is joined in `turn` and each
 * client gets it with one send; in echo mode each client gets its own bytes back at once. Nothing is framed,
 * counted, timed or bounded, a fault ends the program, and a client that stops reading stops the hub.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DESCRIPTORS = 20000, READ_BYTES = 65536, TURN_BYTES = 1 << 24 };

static char turn[TURN_BYTES];
static int clients[DESCRIPTORS], place[DESCRIPTORS], count;
static struct epoll_event ready[DESCRIPTORS];

static void let_in(int poller, int listener) {
    int client = accept(listener, NULL, NULL), on = 1;
    if (client < 0 || client >= DESCRIPTORS) exit(1);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = client};
    epoll_ctl(poller, EPOLL_CTL_ADD, client, &wanted);
    place[client] = count;
    clients[count++] = client;
}

static void let_go(int client) {
    int last = clients[--count];
    clients[place[client]] = last;
    place[last] = place[client];
    close(client);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int echo = !strcmp(argv[2], "echo"), on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0), poller = epoll_create1(0);
    struct sockaddr_in home = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    home.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&home, sizeof home) || listen(listener, 4096)) return 1;
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int events = epoll_wait(poller, ready, DESCRIPTORS, -1);
        ssize_t length = 0;
        for (int i = 0; i < events && length + READ_BYTES <= TURN_BYTES; i++) {
            int from = ready[i].data.fd;
            if (from == listener) { let_in(poller, listener); continue; }
            ssize_t got = recv(from, turn + length, READ_BYTES, 0);
            if (got <= 0) let_go(from);
            else if (echo) send(from, turn, got, MSG_NOSIGNAL);
            else length += got;
        }
        for (int i = 0; length && i < count; i++) send(clients[i], turn, length, MSG_NOSIGNAL);
    }
}
