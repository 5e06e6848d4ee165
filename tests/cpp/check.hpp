// CHECK and its kin: say what was wrong and where, go on, and make the program fail in the end.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace test {

inline int failures = 0;

inline void fail(const char* file, int line, const char* what) {
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what);
    if (++failures >= 20) std::exit(1);
}

inline int result() {
    if (failures > 0) std::fprintf(stderr, "%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}

}  // namespace test

#define CHECK(condition)                                              \
    do {                                                              \
        if (!(condition)) test::fail(__FILE__, __LINE__, #condition); \
    } while (false)

// With a formatted description of the case.
#define CHECK_CASE(condition, ...)                                       \
    do {                                                                 \
        if (!(condition)) {                                              \
            char description[512];                                       \
            std::snprintf(description, sizeof description, __VA_ARGS__); \
            std::fprintf(stderr, "%s: ", description);                   \
            test::fail(__FILE__, __LINE__, #condition);                  \
        }                                                                \
    } while (false)

#define CHECK_THROWS(type, expression)                                                 \
    do {                                                                               \
        bool thrown = false;                                                           \
        try {                                                                          \
            expression;                                                                \
        } catch (const type&) {                                                        \
            thrown = true;                                                             \
        }                                                                              \
        if (!thrown) test::fail(__FILE__, __LINE__, #expression " must throw " #type); \
    } while (false)
