/*
 * Load generator for servers of graphql-transport-ws: costs about a microsecond a message, so that it never is what is
 * measured. Reads frame headers and the first bytes of each message; everything else is counted and thrown away.
 *
 *   wsload --port 8000 --pid 123 --query query.graphql --connections 100 [--distinct | --idle] --warm 0.5 --seconds 2
 *
 * --distinct gives each connection a log of its own; --logs names a file with the id of a log in each line, and each
 * connection follows the one of its own number; --token signs in; --idle subscribes to logs that send one event and no
 * more, and ends once everybody has it; --paced gives each connection a log whose events come at an even rate and are
 * named after the moment at which they were sent, and measures how long they took.
 * Says when all have subscribed, is warm that long after the next event, and then prints one JSON object. Linux only: epoll, /proc.
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

enum { MAX_OPENING = 64, MAX_LOGS = 4096, READ_BYTES = 1 << 18, HEAD_BYTES = 512,
       MAX_LATENCIES = 1 << 20, MAX_EVENTS = 128, GIVE_UP_SECONDS = 30 };
enum opcode { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum state { SHAKING_HANDS, WAITING_FOR_ACK, SUBSCRIBED, RUNNING };

struct options {
    int port, pid, connections;
    bool distinct, idle, paced;
    double warm, seconds;
    const char *query_file, *logs_file, *token;
};

struct connection {
    int fd, index;
    enum state state;
    char handshake[2048];
    size_t handshake_length;
    unsigned char header[10];
    int header_length;
    uint64_t remaining; /* bytes of the current message that are still to come */
    unsigned char opcode;
    char head[HEAD_BYTES]; /* the first bytes of the current message */
    size_t head_length;
    uint64_t messages;
};

static struct options options = {.port = 8000, .connections = 1, .warm = 0.5, .seconds = 2};
static char *query_json;
static char **logs; /* as the file has them; NULL without one */
static int log_count;
static int opening, running;
static bool measuring;
static uint64_t messages, bytes, all_messages;
static double latencies[MAX_LATENCIES]; /* in microseconds */
static size_t latency_count;

static void die(const char *reason) {
    fprintf(stderr, "wsload: %s\n", reason);
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

/* Kilobytes of memory that the server holds, without what it has of files: its own code, most of all. */
static long server_memory(void) {
    char path[64], line[256];
    long kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/status", options.pid);
    FILE *file = fopen(path, "r");
    if (!file) die("the server is gone");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %ld", &kilobytes) == 1) break;
    fclose(file);
    return kilobytes;
}

/* Reads a text and writes it as the inside of a JSON string. */
static char *read_as_json(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) die("the query can't be read");
    char *json = malloc(1 << 16), *end = json;
    for (int c; (c = fgetc(file)) != EOF && end - json < (1 << 16) - 3;) {
        if (c == '\n') c = ' ';
        if (c == '"' || c == '\\') *end++ = '\\';
        *end++ = (char)c;
    }
    *end = 0;
    fclose(file);
    return json;
}

static void read_logs(void) {
    FILE *file = fopen(options.logs_file, "r");
    if (!file) die("the logs can't be read");
    logs = calloc(MAX_LOGS, sizeof *logs);
    while (log_count < MAX_LOGS && fscanf(file, "%63ms", &logs[log_count]) == 1) log_count++;
    fclose(file);
    if (!log_count) die("there are no logs");
}

static void send_all(int fd, const unsigned char *data, size_t length) {
    for (size_t sent = 0; sent < length;) {
        ssize_t count = write(fd, data + sent, length - sent);
        if (count > 0) sent += (size_t)count;
        else if (errno == EAGAIN) usleep(100);
        else die("a connection broke");
    }
}

/* Sends a masked frame; the mask is zero, which servers take like any other. */
static void send_frame(int fd, enum opcode opcode, const char *payload, size_t length) {
    unsigned char *frame = calloc(1, length + 14), *end = frame;
    *end++ = 0x80 | (unsigned char)opcode;
    if (length < 126) {
        *end++ = 0x80 | (unsigned char)length;
    } else if (length < 65536) {
        *end++ = 0x80 | 126;
        *end++ = (unsigned char)(length >> 8);
        *end++ = (unsigned char)length;
    } else {
        die("a message is too long");
    }
    end += 4;
    memcpy(end, payload, length);
    send_all(fd, frame, (size_t)(end - frame) + length);
    free(frame);
}

static void subscribe(struct connection *c) {
    static char message[1 << 17];
    /* The first digits tell the server for how many subscribers it waits before it goes on; see source.py. */
    char log[64];
    snprintf(log, sizeof log, "%07d%d-0000-4000-8000-%012d", options.idle ? 9999999 : options.connections,
             options.paced, options.distinct || options.idle || options.paced ? c->index : 0);
    int length = snprintf(message, sizeof message,
                          "{\"id\":\"7d9f0c1e-%d\",\"type\":\"subscribe\",\"payload\":{\"query\":\"%s\",\"variables\":"
                          "{\"proposalId\":\"%s\"},\"operationName\":\"Run\"}}",
                          c->index, query_json, logs ? logs[c->index % log_count] : log);
    send_frame(c->fd, OP_TEXT, message, (size_t)length);
    c->state = SUBSCRIBED;
}

/* Notes how long ago an event was sent; its name tells. */
static void note_latency(struct connection *c) {
    const char *names[] = {"\"toolCallId\":\"", "\"messageId\":\""};
    for (int i = 0; i < 2; i++) {
        char *name = memmem(c->head, c->head_length, names[i], strlen(names[i]));
        if (!name) continue;
        double sent = strtod(name + strlen(names[i]), NULL) / 1e9;
        if (latency_count < MAX_LATENCIES) latencies[latency_count++] = (now() - sent) * 1e6;
        return;
    }
    die("an event does not say when it was sent");
}

static int by_size(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return difference < 0 ? -1 : difference > 0;
}

/* Finds the latency that this share of all does not exceed. */
static double latency_at(double share) {
    return latency_count ? latencies[(size_t)(share * (double)(latency_count - 1))] : 0;
}

static void on_message(struct connection *c, uint64_t length) {
    if (c->opcode == OP_PING) {
        send_frame(c->fd, OP_PONG, c->head, c->head_length);
        return;
    }
    if (c->opcode == OP_CLOSE) die("the server closed a connection");
    if (c->opcode != OP_TEXT) return;
    if (c->state == WAITING_FOR_ACK) {
        subscribe(c);
        return;
    }
    if (!memmem(c->head, c->head_length, "\"next\"", 6)) {
        fprintf(stderr, "%.*s\n", (int)c->head_length, c->head);
        die("an operation ended");
    }
    if (c->state == SUBSCRIBED) {
        c->state = RUNNING;
        running++;
        opening--;
    }
    c->messages++;
    all_messages++;
    if (measuring) {
        messages++;
        bytes += length;
        if (options.paced) note_latency(c);
    }
}

/* Takes bytes of frames; a server never masks them. */
static void take(struct connection *c, const unsigned char *data, size_t count) {
    static uint64_t length;
    for (size_t i = 0; i < count;) {
        if (c->remaining) {
            size_t part = count - i < c->remaining ? count - i : (size_t)c->remaining;
            size_t kept = HEAD_BYTES - c->head_length < part ? HEAD_BYTES - c->head_length : part;
            memcpy(c->head + c->head_length, data + i, kept);
            c->head_length += kept;
            c->remaining -= part;
            length += part;
            i += part;
            if (!c->remaining) on_message(c, length);
            continue;
        }
        c->header[c->header_length++] = data[i++];
        if (c->header_length < 2) continue;
        int size = c->header[1] & 127, needed = size < 126 ? 2 : size == 126 ? 4 : 10;
        if (c->header_length < needed) continue;
        c->remaining = (uint64_t)(needed == 2 ? size : 0);
        for (int k = 2; k < needed; k++) c->remaining = c->remaining << 8 | c->header[k];
        c->opcode = c->header[0] & 15;
        c->header_length = 0;
        c->head_length = 0;
        length = 0;
        if (!c->remaining) on_message(c, 0);
    }
}

static void open_connection(struct connection *c, int index, int epoll) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    char request[512];
    *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM, 0), .index = index};
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) die("no connection");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int length = snprintf(request, sizeof request,
                          "GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
                          options.port);
    send_all(c->fd, (unsigned char *)request, (size_t)length);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
    opening++;
}

static void shake_hands(struct connection *c, const unsigned char *data, size_t count) {
    size_t room = sizeof c->handshake - 1 - c->handshake_length;
    size_t kept = count < room ? count : room;
    memcpy(c->handshake + c->handshake_length, data, kept);
    c->handshake_length += kept;
    c->handshake[c->handshake_length] = 0;
    char *end = strstr(c->handshake, "\r\n\r\n");
    if (!end) return;
    if (!strstr(c->handshake, " 101 ")) die("the handshake was refused");
    static char init[4096];
    int length = options.token ? snprintf(init, sizeof init,
                                          "{\"type\":\"connection_init\",\"payload\":{\"authorization\":\"Bearer %s\"}}",
                                          options.token)
                               : snprintf(init, sizeof init, "{\"type\":\"connection_init\",\"payload\":{}}");
    send_frame(c->fd, OP_TEXT, init, (size_t)length);
    c->state = WAITING_FOR_ACK;
    size_t used = (size_t)(end + 4 - c->handshake) - (c->handshake_length - kept);
    if (used < count) take(c, data + used, count - used);
}

static void read_connection(struct connection *c) {
    static unsigned char data[READ_BYTES];
    ssize_t count = read(c->fd, data, sizeof data);
    if (count == 0 || (count < 0 && errno != EAGAIN)) die("a connection was lost");
    if (count < 0) return;
    if (c->state == SHAKING_HANDS) shake_hands(c, data, (size_t)count);
    else take(c, data, (size_t)count);
}

static void read_options(int count, char **words) {
    for (int i = 1; i < count; i++) {
        const char *name = words[i];
        if (!strcmp(name, "--distinct")) options.distinct = true;
        else if (!strcmp(name, "--idle")) options.idle = true;
        else if (!strcmp(name, "--paced")) options.paced = true;
        else if (i + 1 >= count) die("an option has no value");
        else if (!strcmp(name, "--port")) options.port = atoi(words[++i]);
        else if (!strcmp(name, "--pid")) options.pid = atoi(words[++i]);
        else if (!strcmp(name, "--connections")) options.connections = atoi(words[++i]);
        else if (!strcmp(name, "--warm")) options.warm = atof(words[++i]);
        else if (!strcmp(name, "--seconds")) options.seconds = atof(words[++i]);
        else if (!strcmp(name, "--query")) options.query_file = words[++i];
        else if (!strcmp(name, "--logs")) options.logs_file = words[++i];
        else if (!strcmp(name, "--token")) options.token = words[++i];
        else die("an option is unknown");
    }
    if (!options.query_file || !options.pid) die("--query and --pid are needed");
    query_json = read_as_json(options.query_file);
    if (options.logs_file) read_logs();
}

int main(int count, char **words) {
    read_options(count, words);
    struct connection *connections = calloc((size_t)options.connections, sizeof *connections);
    int epoll = epoll_create1(0), opened = 0;
    uint64_t first_messages = 0;
    long memory_before = server_memory();
    double began = now(), subscribed = 0, flowing = 0, measured = 0, cpu = server_cpu(), subscribe_cpu = 0;
    for (bool done = false; !done;) {
        while (opened < options.connections && opening < MAX_OPENING) {
            open_connection(&connections[opened], opened, epoll);
            opened++;
        }
        struct epoll_event events[MAX_EVENTS];
        int ready = epoll_wait(epoll, events, MAX_EVENTS, 20);
        for (int i = 0; i < ready; i++) read_connection(events[i].data.ptr);
        double moment = now();
        if (!subscribed && running == options.connections) {
            subscribed = moment;
            subscribe_cpu = server_cpu() - cpu;
            first_messages = all_messages;
            puts("all have subscribed");
            fflush(stdout);
            done = options.idle;
        }
        if (!subscribed && moment - began > GIVE_UP_SECONDS) die("not all subscriptions began");
        if (subscribed && !flowing && all_messages > first_messages) flowing = moment;
        if (subscribed && !flowing && moment - subscribed > GIVE_UP_SECONDS) die("no events come");
        if (flowing && !measuring && moment >= flowing + options.warm) {
            measuring = true;
            measured = moment;
            cpu = server_cpu();
        }
        if (measuring && moment >= measured + options.seconds) {
            measured = moment - measured;
            cpu = server_cpu() - cpu;
            done = true;
        }
    }
    qsort(latencies, latency_count, sizeof *latencies, by_size);
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < options.connections; i++)
        if (connections[i].messages < least) least = connections[i].messages;
    printf("{\"subscribe_seconds\":%.4f,\"subscribe_cpu\":%.4f,\"memory_kilobytes\":%ld,\"seconds\":%.4f,\"messages\":%lu,"
           "\"bytes\":%lu,\"cpu\":%.4f,\"least_messages\":%lu,\"latency_50\":%.1f,\"latency_99\":%.1f}\n",
           subscribed - began, subscribe_cpu, server_memory() - memory_before, measuring ? measured : 0, messages, bytes,
           measuring ? cpu : 0, least, latency_at(0.5), latency_at(0.99));
    return 0;
}
