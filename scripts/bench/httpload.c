/*
 * Load generator for servers of GraphQL over HTTP/1.1: costs a few microseconds a request, so that it never is what is
 * measured. Each connection sends its next request as soon as the answer to the last one is there.
 *
 *   httpload --port 8000 --pid 123 --bodies bodies --expect '"data"' --connections 8 --warm 0.5 --seconds 2
 *
 * The file has a body in each line; a connection sends the line of its own number again and again, and in it `#N` stands
 * for how many requests it has sent, from 1 on. Each answer has to be a 200 in which --expect stands. --path is where
 * they go (/graphql), --token signs in. A server that is very slow is measured until each connection has had two answers. Prints one JSON object. Linux only: epoll, /proc.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINES = 1024, BODY_BYTES = 1 << 16, ANSWER_BYTES = 1 << 20, MAX_EVENTS = 128, GIVE_UP_SECONDS = 30 };

struct options {
    int port, pid, connections;
    double warm, seconds;
    const char *bodies_file, *path, *token, *expect;
};

struct connection {
    int fd;
    const char *body;
    unsigned long sent;
    char *answer; /* what has come of the current one */
    size_t length;
    size_t needed; /* bytes of the whole answer; 0 until its head is there */
    bool is_chunked;
};

static struct options options = {.port = 8000, .connections = 8, .warm = 0.5, .seconds = 2, .path = "/graphql"};
static uint64_t answers, measured_answers;
static bool measuring;

static void die(const char *reason) {
    fprintf(stderr, "httpload: %s\n", reason);
    exit(1);
}

static double now(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

/* CPU seconds that the server has used. */
static double server_cpu(void) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", options.pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) die("the server is gone");
    fclose(file);
    unsigned long user, kernel;
    if (sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        die("/proc can't be read");
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static int read_lines(const char **lines) {
    FILE *file = fopen(options.bodies_file, "r");
    if (!file) die("the bodies can't be read");
    int count = 0;
    char *line = NULL;
    size_t room = 0;
    for (ssize_t length; count < MAX_LINES && (length = getline(&line, &room, file)) > 0;) {
        if (line[length - 1] == '\n') line[--length] = 0;
        if (length >= BODY_BYTES / 2) die("a body is too long");
        lines[count++] = strdup(line);
    }
    free(line);
    fclose(file);
    if (!count) die("there are no bodies");
    return count;
}

static void send_request(struct connection *c) {
    static char body[BODY_BYTES], request[BODY_BYTES + 8192];
    size_t length = 0;
    c->sent++;
    for (const char *from = c->body; *from && length < sizeof body - 32;) {
        if (from[0] == '#' && from[1] == 'N') {
            length += (size_t)sprintf(body + length, "%lu", c->sent);
            from += 2;
        } else {
            body[length++] = *from++;
        }
    }
    int head = snprintf(request, sizeof request - length,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/json\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n%s%s%s\r\n",
                        options.path, options.port, length, options.token ? "Authorization: Bearer " : "",
                        options.token ? options.token : "", options.token ? "\r\n" : "");
    memcpy(request + head, body, length);
    size_t whole = (size_t)head + length;
    for (size_t sent = 0; sent < whole;) {
        ssize_t count = write(c->fd, request + sent, whole - sent);
        if (count > 0) sent += (size_t)count;
        else if (errno == EAGAIN) usleep(100);
        else die("a connection broke");
    }
    c->length = c->needed = 0;
    c->is_chunked = false;
}

/* Finds out from the head of an answer where the answer ends. */
static void read_head(struct connection *c) {
    c->answer[c->length] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return;
    if (strncmp(c->answer, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "%.2000s\n", c->answer);
        die("an answer is no success");
    }
    *end = 0;
    char *size = strcasestr(c->answer, "\r\ncontent-length:");
    c->is_chunked = !size && strcasestr(c->answer, "\r\ntransfer-encoding: chunked");
    if (!size && !c->is_chunked) die("an answer does not say how long it is");
    *end = '\r';
    c->needed = (size_t)(end + 4 - c->answer) + (size ? strtoul(size + 17, NULL, 10) : 5);
    if (c->needed >= ANSWER_BYTES) die("an answer is too long");
}

static bool is_whole(const struct connection *c) {
    if (!c->needed || c->length < c->needed) return false;
    return !c->is_chunked || !memcmp(c->answer + c->length - 5, "0\r\n\r\n", 5);
}

static void read_connection(struct connection *c) {
    ssize_t count = read(c->fd, c->answer + c->length, ANSWER_BYTES - 1 - c->length);
    if (count == 0 || (count < 0 && errno != EAGAIN)) die("a connection was lost");
    if (count < 0) return;
    c->length += (size_t)count;
    if (!c->needed) read_head(c);
    if (!is_whole(c)) return;
    c->answer[c->length] = 0;
    if (options.expect && !strstr(c->answer, options.expect)) {
        fprintf(stderr, "%.2000s\n", c->answer);
        die("an answer is not what was expected");
    }
    answers++;
    if (measuring) measured_answers++;
    send_request(c);
}

static void open_connection(struct connection *c, const char *body, int epoll) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM, 0), .body = body, .answer = malloc(ANSWER_BYTES)};
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) die("no connection");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
    send_request(c);
}

static void read_options(int count, char **words) {
    for (int i = 1; i < count; i++) {
        const char *name = words[i];
        if (i + 1 >= count) die("an option has no value");
        else if (!strcmp(name, "--port")) options.port = atoi(words[++i]);
        else if (!strcmp(name, "--pid")) options.pid = atoi(words[++i]);
        else if (!strcmp(name, "--connections")) options.connections = atoi(words[++i]);
        else if (!strcmp(name, "--warm")) options.warm = atof(words[++i]);
        else if (!strcmp(name, "--seconds")) options.seconds = atof(words[++i]);
        else if (!strcmp(name, "--bodies")) options.bodies_file = words[++i];
        else if (!strcmp(name, "--path")) options.path = words[++i];
        else if (!strcmp(name, "--token")) options.token = words[++i];
        else if (!strcmp(name, "--expect")) options.expect = words[++i];
        else die("an option is unknown");
    }
    if (!options.bodies_file || !options.pid) die("--bodies and --pid are needed");
}

int main(int count, char **words) {
    read_options(count, words);
    const char *lines[MAX_LINES];
    int line_count = read_lines(lines);
    struct connection *connections = calloc((size_t)options.connections, sizeof *connections);
    int epoll = epoll_create1(0);
    for (int i = 0; i < options.connections; i++) open_connection(&connections[i], lines[i % line_count], epoll);
    double began = now(), cpu = 0, last = began;
    for (uint64_t before = 0;;) {
        struct epoll_event events[MAX_EVENTS];
        int ready = epoll_wait(epoll, events, MAX_EVENTS, 20);
        for (int i = 0; i < ready; i++) read_connection(events[i].data.ptr);
        double moment = now();
        if (answers != before) last = moment;
        before = answers;
        if (moment - last > GIVE_UP_SECONDS) die("the server answers no more");
        if (!measuring && moment >= began + options.warm) {
            measuring = true;
            began = moment;
            cpu = server_cpu();
        } else if (measuring && moment >= began + options.seconds && measured_answers >= (uint64_t)options.connections * 2) {
            cpu = server_cpu() - cpu;
            printf("{\"seconds\":%.4f,\"answers\":%lu,\"cpu\":%.4f,\"all_answers\":%lu}\n", moment - began, measured_answers,
                   cpu, answers);
            return 0;
        }
    }
}
