// An array that ends where its memory does: one element further lies a page that nobody may touch. Unlike
// AddressSanitizer it also catches masked vector loads, which are not instrumented.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace test {

template <class T>
class GuardedArray {
  public:
    // The start is aligned to an element only, as callers' arrays may be.
    explicit GuardedArray(std::size_t size) : size_(size) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t used = (size * sizeof(T) + page - 1) / page * page;
        bytes_ = used + 2 * page;
        memory_ = static_cast<std::uint8_t*>(
            mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (memory_ == MAP_FAILED) throw std::bad_alloc();
        mprotect(memory_, page, PROT_NONE);
        mprotect(memory_ + page + used, page, PROT_NONE);
        data_ = reinterpret_cast<T*>(memory_ + page + used - size * sizeof(T));
    }
    ~GuardedArray() { munmap(memory_, bytes_); }
    GuardedArray(const GuardedArray&) = delete;
    GuardedArray& operator=(const GuardedArray&) = delete;

    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t size() const { return size_; }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }
    T* begin() { return data_; }
    T* end() { return data_ + size_; }

  private:
    std::size_t size_;
    std::size_t bytes_;
    std::uint8_t* memory_;
    T* data_;
};

}  // namespace test
